"""What holds for all commands: help, misspelt options and folders, the home folder, Ctrl-C."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from tqdm import tqdm

from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec, cli, load_prior
from parrot_wrapper.cli import COMMANDS, main
from parrot_wrapper.cli.arguments import _option_names, expand_home
from parrot_wrapper.cli.durations import in_words
from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.data.exchange import import_data
from parrot_wrapper.errors import ParrotError
from parrot_wrapper.experiments.places import read_grid
from parrot_wrapper.experiments.study import load_studies
from parrot_wrapper.priors.checkpoint import read_prior
from parrot_wrapper.rl.evaluation import load_agent
from parrot_wrapper.rl.logs import read_episodes
from parrot_wrapper.rl.train import read_config
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig

MODULE = '''
import gymnasium as gym
import numpy as np


class Square(gym.Env):
    """A point that is pushed about; registered by its class, as our docs do it."""

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-2.0, 2.0, (3,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = np.zeros(3, np.float32)
        return self.seen, {}

    def step(self, action):
        return self.seen, 0.0, False, False, {}

    def render(self):
        return np.full((32, 32, 3), 200, np.uint8)


gym.register("Square-v0", Square, max_episode_steps=3)
'''


def command_class(name: str) -> type[Any]:
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(f"parrot_wrapper.cli.{module}"), attribute)
    return found if isinstance(found, type) else found([])


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a prior, and a home folder within it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    config = FlowPriorConfig(
        ObservationSpec(state=3), action_dim=2, encoder="state", hidden=8,
        action_low=(-1.0, -1.0), action_high=(1.0, 1.0),
    )  # fmt: skip
    FlowPrior(config).save("~/runs/mine/prior")
    save_dataset(EpisodeDataset.from_arrays(np.zeros((9, 3)), np.eye(8)[:, :2], [8]), "~/demos")
    Path("square.py").write_text(MODULE)
    return tmp_path


def test_help_of_every_command_loads_no_torch() -> None:
    """Of all but train-prior: its options are those of a kind of prior, which is a torch module."""
    code = (
        "import sys\n"
        "from parrot_wrapper.cli import COMMANDS, main\n"
        "words_of_all = [[name] for name in COMMANDS if name != 'train-prior']\n"
        "for words in (*words_of_all, ['data', 'import']):\n"
        "    assert main([*words, '--help']) == 0\n"
        "    heavy = {'torch', 'stable_baselines3', 'pybullet', 'matplotlib'} & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_help_says_what_a_preset_does(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for preset in ("features", "paper"):
        assert main(["train", "--preset", preset, "--help"]) == 0
        text = " ".join(re.sub("[│╭╰─╮╯]", " ", capsys.readouterr().out).split())
        found = re.findall(r"--([a-z.-]+) (?:(?!--).)*?\(default: ([^)]*)\)", text)
        shown.append(dict(found))
        assert shown[-1]["preset"] == preset
        assert {k for k, v in found if v == "None"} <= {
            *("raw.initial-actor", "broad.idle", "broad.motion", "demonstrations.data")
        }
    assert (shown[0]["gamma"], shown[1]["gamma"]) == ("0.95", "0.99")
    assert (shown[0]["kl"], shown[1]["kl"]) == ("5.0", "0.0")


def test_python_dash_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parrot_wrapper", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_misspelt_options_get_the_nearest_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [option for option in _option_names(command_class(name)) if len(option) > 4]
    for option in options[:3]:
        assert main([name, f"--{option[:2]}{option[3:]}", "1"]) == 2
        error = capsys.readouterr().err
        assert f"Did you mean '--{option}'?" in error
        assert error.count("\n") == 1
    assert main([name, "--qqqq"]) == 2
    assert "--qqqq" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        ("eval-prior --prior home/runs/mien", "home/runs/mine"),
        ("eval-prior --prior hoem", "home"),
        ("train --prior home/runz/mine", "home/runs"),
        ("train-prior --data home/demoss", "home/demos"),
        ("evaluate --run home/rnus", "home/runs"),
        ("info home/demo", "home/demos"),
        ("data show home/demo", "home/demos"),
        ("data import arrays home/demo out", "home/demos"),
        ("data import robomimic home/demo out", "home/demos"),
        ("data import lerobot home/demo out", "home/demos"),
        ("watch CartPole-v1 --policy agent:home/rnus", "home/runs"),
        ("report home/rnus", "home/runs"),
        ("experiment --grid sqaure.py", "square.py"),
    ],
)
def test_misspelt_folders_get_the_nearest_one(
    words: str, nearest: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert "here is no file or folder" in error
    assert f"Did you mean '{nearest}'?" in error


def test_the_home_folder_in_words(workplace: Path) -> None:
    home = str(workplace / "home")
    assert expand_home("~/x") == f"{home}/x"
    assert expand_home("--out=~/x") == f"{home}/x".join(["--out=", ""])
    assert expand_home("agent:~/x") == f"agent:{home}/x"
    for word in ("a~b", "-5e-2", "key=~", "--out", "x/~"):
        assert expand_home(word) == word


def test_the_home_folder_in_python(workplace: Path) -> None:
    """What saves and loads takes `~`; what is not there is looked for at home."""
    data = load_dataset("~/demos")
    assert (
        load_prior("~/runs/mine").action_dim == read_prior("~/runs/mine/prior").config["action_dim"]
    )
    np.savez("d.npz", state=np.zeros((3, 3)), actions=np.eye(2))
    import_data("arrays", "d.npz", Path("~/imported"))
    config = PriorTrainingConfig(steps=1, batch_size=2, validation_batches=1)
    twice = EpisodeDataset.from_arrays(np.zeros((18, 3)), np.eye(16)[:, :2], [8, 8])
    fit_prior(load_prior("~/runs/mine"), twice, config, run_folder="~/fit", progress=False)
    assert data.n_episodes == 1
    assert {"imported", "fit", "demos"} <= {path.name for path in (workplace / "home").iterdir()}
    assert read_episodes("~/fit") == []
    for load in (read_config, load_agent, read_grid, lambda folder: load_studies([folder])):
        with pytest.raises(ParrotError, match=r"home.nowhere"):
            load("~/nowhere")
    assert not Path("~").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_env_of_a_module_in_this_folder_registered_by_its_class(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--episodes", "2", "--gif-episodes", "1", "--no-progress", "--out", "judged"]
    own = ["--gym-packages", "square", "--env-id", "Square-v0"]
    try:
        assert main(["eval-prior", "--prior", "~/runs/mine", *own, *few]) == 0
        out = capsys.readouterr().out
        assert "## Verdict" in out
        assert "success" not in out.split("## Rollouts")[1].split("##")[0]  # nothing to fill
        assert {path.name for path in Path("judged").iterdir()} == {
            "judgement.json",
            "samples.gif",
            "table.md",
        }
        train = ["train", "--prior", "~/runs/mine", *own, "--total-steps", "6", "--episodes", "1"]
        for told in ("6 steps", "were done before"):
            assert main([*train, "--out", "run", "--no-progress", "--device", "cpu"]) == 0
            assert told in capsys.readouterr().out
        assert main(["info", "run"]) == 0
        assert "6 of 6 env steps" in capsys.readouterr().out
        evaluate = ["evaluate", "--run", "run", "--gif", "1", "--episodes", "1", *own[:2]]
        assert main(evaluate) == 0
        assert Path("run/rollouts.gif").is_file()
        assert main(["watch", "square:Square-v0", "--out", "x.gif", "--episodes", "1"]) == 0
        assert Path("x.gif").is_file()
    finally:
        gym.registry.pop("Square-v0", None)
        sys.modules.pop("square", None)


def test_stopping_leaves_the_bars_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Busy:
        def run(self) -> None:
            for _ in tqdm(range(3), desc="busy"):
                raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_parse", lambda name, args: Busy())
    assert main(["info"]) == 130
    error = capsys.readouterr().err
    assert "busy" in error
    assert error.splitlines()[-1].startswith("parrot: stopped")


@pytest.mark.parametrize("words", ["['info']", "['train', '--help']"])
def test_nobody_reads_the_output(words: str) -> None:
    code = f"import sys; from parrot_wrapper.cli import main; sys.exit(main({words}))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 0
    assert done.stderr == b""


def test_durations() -> None:
    assert [in_words(x) for x in (3, 44, 91, 5_400, 90_000)] == [
        "about 10 s", "about 40 s", "about 2 min", "about 1.5 h", "about 25.0 h",
    ]  # fmt: skip
