"""`parrot watch`, in process: every kind of policy, ours and foreign envs, GIF and window."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import gymnasium as gym
import imageio.v3 as imageio
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.cli.watch import has_display, parse_policy
from parrot_wrapper.errors import UnknownNameError
from parrot_wrapper.evaluation.pictures import HELD_FRAMES
from parrot_wrapper.priors import FlowPriorConfig
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.types import ObservationSpec
from tests import expert_env

pytest.importorskip("pybullet")
from parrot_envs.env import ManipulationEnv
from parrot_envs.sim import bullet

ENV_ID = "ParrotGraspCup-v0"
FOREIGN = [expert_env.ENV_ID, "--gym-packages", "tests.expert_env"]
EPISODE_FRAMES = 1 + 25 + HELD_FRAMES


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def frames(path: str | Path) -> int:
    return len(imageio.imread(path))


def test_uniform_actions_leave_a_gif(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", ENV_ID, "--episodes", "2", "--seed", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "episode 5: no success, return 0, 25 steps",
        "episode 6: no success, return 0, 25 steps",
        "0 of 2 episodes ended in success.",
        f"runs/watch/{ENV_ID}.gif",
    ]
    assert frames(lines[-1]) > EPISODE_FRAMES  # equal frames are joined by the writer
    assert imageio.imread(lines[-1]).shape[1:] == (256, 256, 3)


def test_the_expert_succeeds_and_options_reach_the_env(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["watch", ENV_ID, "--policy", "scripted", "--out", "x/cup.gif", "--episodes", "2"]
    assert main([*command, "--env-kwargs", "render_size=64", 'randomize=["colors","light"]']) == 0
    out = capsys.readouterr().out
    assert "2 of 2 episodes ended in success." in out
    assert "episode 0: success, return " in out
    pictures = imageio.imread("x/cup.gif")
    assert pictures.shape[1:] == (64, 64, 3)
    red, green, _ = pictures[-1][0, 0].astype(int)
    assert green > red + 80  # the rim


def test_samples_of_a_prior_see_what_they_need(
    prior_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", ENV_ID, "--policy", f"prior:{prior_folder}", "--episodes", "1"]) == 0
    assert "of 1 episodes ended in success" in capsys.readouterr().out


def test_an_agent_is_watched_in_the_env_that_is_named(
    prior_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--total-steps", "50", "--episodes", "0", "--no-progress", "--device", "cpu"]
    train = ["train", "--env-id", ENV_ID, "--prior", prior_folder, "--out", "run"]
    assert main([*train, *short]) == 0
    other = "ParrotPlaceCanInPan-v0"
    assert main(["watch", other, "--policy", "agent:run", "--episodes", "1"]) == 0
    assert f"runs/watch/{other}.gif" in capsys.readouterr().out


def test_foreign_envs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FlowPrior(
        FlowPriorConfig(ObservationSpec(state=2), action_dim=2, encoder="state", hidden=8)
    ).save(tmp_path / "prior")
    reach = f"tests.expert_env:{expert_env.ENV_ID}"
    assert main(["watch", reach, "--episodes", "1"]) == 0
    told = capsys.readouterr().out
    assert "success" not in told  # this env does not tell
    assert "episode 0: return " in told
    assert frames("runs/watch/Reach-v0.gif") > 1  # of its image observations, enlarged
    as_dict = ["--env-kwargs", "obs=dict"]
    assert main(["watch", *FOREIGN, "--policy", "scripted", "--episodes", "1", *as_dict]) == 0
    blind = ["--env-kwargs", "obs=state"]
    capsys.readouterr()
    for policy in ("uniform", f"prior:{tmp_path / 'prior'}"):
        assert main(["watch", *FOREIGN, "--policy", policy, *blind]) == 2
        shown = capsys.readouterr()
        assert "episode 2: return " in shown.out
        assert "Reach-v0 has neither: nothing can be shown" in shown.err


def test_with_a_display_a_window_opens_instead(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a client without window in place of the real one: there is no display here."""
    modes: list[int] = []
    connect = bullet.connect
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("parrot_envs.sim.usable_display", nullcontext)
    monkeypatch.setattr(
        ManipulationEnv, "metadata", {"render_modes": ["rgb_array", "human"], "render_fps": 10}
    )
    monkeypatch.setattr(
        bullet, "connect", lambda mode: modes.append(mode) or connect(bullet.DIRECT)
    )
    monkeypatch.setattr("parrot_envs.sim.time.sleep", lambda seconds: None)
    assert main(["watch", ENV_ID, "--policy", "scripted", "--episodes", "1"]) == 0
    assert modes == [bullet.GUI]
    assert "1 of 1 episodes ended in success." in capsys.readouterr().out
    assert list(workplace.iterdir()) == []
    assert main(["watch", ENV_ID, "--episodes", "1", "--out", "a.gif"]) == 0
    assert modes == [bullet.GUI, bullet.DIRECT]
    assert Path("a.gif").is_file()


def test_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.setattr("sys.platform", "darwin")
    assert has_display()


def test_policies_with_names() -> None:
    assert parse_policy("agent:runs/a:b") == ("agent", "runs/a:b")
    with pytest.raises(UnknownNameError, match="Known: agent:PATH, prior:NAME, scripted, uniform"):
        parse_policy("")
    assert "Pendulum-v1" in gym.registry
