"""What holds for all commands: help, mistakes, the home folder, exit codes; and `parrot info`."""

import json
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

from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec, __version__, cli, load_prior
from parrot_wrapper.cli import COMMANDS, main
from parrot_wrapper.cli.arguments import expand_home
from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.data.exchange import import_data
from parrot_wrapper.errors import ParrotError
from parrot_wrapper.experiments.grid_folders import read_grid
from parrot_wrapper.experiments.study import load_studies
from parrot_wrapper.priors.checkpoint import read_prior
from parrot_wrapper.rl.evaluation import load_agent
from parrot_wrapper.rl.logs import read_episodes
from parrot_wrapper.rl.train import read_config
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from tests.expert_env import ENV_ID

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
        ObservationSpec(state=3),
        action_dim=2,
        encoder="state",
        hidden=8,
        action_low=(-1.0, -1.0),
        action_high=(1.0, 1.0),
    )
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
    assert (shown[0]["kl"], shown[1]["kl"]) == ("auto", "0")


def test_python_dash_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parrot_wrapper", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "words", ["collect --wokers 2", "train --gama 0.9", "train --initial-actor x", "info --qqqq"]
)
def test_unknown_options_are_named(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert words.split()[1] in error
    nearest = {"wokers": "--workers", "gama": "--gamma", "initial-actor": "--raw.initial-actor"}
    assert nearest.get(words.split()[1][2:], "--help") in error


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


def test_overview_imports_nothing_heavy() -> None:
    code = (
        "import sys; from parrot_wrapper.cli import main; code = main([]);"
        "heavy = {'torch', 'tyro', 'gymnasium', 'h5py', 'stable_baselines3'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert summary in done.stdout


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["collect", "--help"]])
def test_help(args, capsys) -> None:
    assert main(args) == 0
    assert "usage: parrot" in capsys.readouterr().out


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def collect_args(folder: Path, *more: str) -> list[str]:
    own = ["--gym-packages", "tests.expert_env", "--no-progress", "--workers", "1"]
    args = ["--env-id", ENV_ID, "--out", str(folder), "--episodes", "4", "--shard-attempts", "8"]
    return ["collect", *args, *own, *more]


class _Raises:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def run(self) -> None:
        raise self._error


def test_interrupt_and_bugs(monkeypatch, capsys) -> None:
    monkeypatch.setattr(cli, "_parse", lambda name, args: _Raises(KeyboardInterrupt()))
    assert main(["info"]) == 130
    assert "stopped" in capsys.readouterr().err
    monkeypatch.setattr(cli, "_parse", lambda name, args: _Raises(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        main(["info"])


def test_collect_then_info(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "data"
    assert main(collect_args(folder, "--env-kwargs", "obs=dict", "farthest=1.2")) == 0
    assert "4 episodes" in capsys.readouterr().out
    data = load_dataset(folder)
    assert data.n_episodes == 4
    assert data.metadata["settings"]["env_kwargs"] == {"obs": "dict", "farthest": 1.2}
    config = json.loads((folder / "collect-config.json").read_text())
    assert config["episodes"] == 4
    assert config["env_kwargs"] == ["obs=dict", "farthest=1.2"]
    assert main(collect_args(folder, "--env-kwargs", "obs=dict", "farthest=1.2")) == 0
    assert "4 episodes, all of which were there before" in capsys.readouterr().out
    assert main(["info", str(folder)]) == 0
    card = capsys.readouterr().out
    assert "episodes: 4 of 4" in card
    assert f"env_id: {ENV_ID}" in card
    assert main(collect_args(folder, "--seed", "9")) == 2
    assert "base_seed: 0 there, 9 given" in capsys.readouterr().err


def test_info_overview(capsys) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"parrot-wrapper {__version__}" in out
    assert "gymnasium" in out
    assert "ParrotGrasp-v0" in out
    assert "CartPole-v1" not in out


pytest.importorskip("pybullet")

COLLECT = f"collect --env-id {ENV_ID} --out made --gym-packages tests.expert_env --no-progress"
IMPORT = "data import arrays demos made --no-progress"
WATCH = "watch ParrotGraspCup-v0"
TRAIN = "train --env-id ParrotGraspCup-v0 --prior {prior} --out made --no-progress"
MISTAKES = [
    (f"{COLLECT} --env-id Raech-v0", "environment id 'Raech-v0'. Did you mean 'Reach-v0'"),
    (f"{COLLECT} --env-id CartPoll-v1", "Did you mean 'CartPole-v1'"),
    (f"{COLLECT} --env-id nowhere:Reach-v0", "nowhere"),
    (f"{COLLECT} --env-kwargs obz=image", "['obz']"),
    (f"{COLLECT} --env-kwargs image", "key=value, got 'image'"),
    (f"{COLLECT} --env-kwargs =3", "key=value"),
    (f"{COLLECT} --gym-packages no_such_pkg", "'no_such_pkg'"),
    (f"{COLLECT} --episodes 0", "n_episodes >= 1, got 0"),
    ("data show nowhere", "dataset.json, found none"),
    ("data show data --sheet x.png", "Expected a data set with images, got state only"),
    ("data show data --sheet x.jpg", "ends in .png, got x.jpg"),
    ("data import arrays nowhere made --no-progress", "folder of them, found none"),
    ("data import arrays demos data --no-progress", "new or empty folder"),
    (f"{IMPORT} --image-key cam", "Did you mean 'camera'"),
    (f"{IMPORT} --action-low 0 0 --action-high 1 1", "fit 3 action dimensions"),
    ("data import arrays buffer.pkl made --no-progress", "looks like a pickle"),
    ("data export minari nowhere x-v0", "dataset.json, found none"),
    ("data export lerobot nowhere x", "dataset.json, found none"),
    ("experiment", "Expected a study (main, data-size, mismatch, agent, exploration, packaged"),
    ("experiment main --grid x.json", "and not both"),
    ("experiment man", "Unknown study 'man'. Did you mean 'main'"),
    ("experiment main --setting papr", "Did you mean 'paper'"),
    ("experiment --grid x.json", "x.json: expected a grid's JSON"),
    ("experiment main --only method", "form key=value, got 'method'"),
    ("experiment main --only metod=sac", "Did you mean 'method'"),
    ("experiment main --only method=sca", "Did you mean 'sac'"),
    ("experiment main --seeds -1", "rl_seeds as a list of different integers"),
    ("experiment main --workers -1", "workers >= 1 and max_minutes >= 0, got -1"),
    ("experiment main --max-minutes -1", "workers >= 1 and max_minutes >= 0"),
    ("watch ParrotGrspCup-v0", "Did you mean 'ParrotGraspCup-v0'"),
    (f"{WATCH} --policy scriptet", "Unknown policy 'scriptet'. Did you mean 'scripted'"),
    (f"{WATCH} --policy prior", "Did you mean 'prior:NAME'"),
    (f"{WATCH} --policy agnet:x", "Did you mean 'agent:PATH'"),
    (f"{WATCH} --policy uniform:x", "Did you mean 'uniform'"),
    (f"{WATCH} --policy prior:parot-v0", "Unknown prior 'parot-v0'"),
    (f"{WATCH} --policy agent:nowhere", "nowhere"),
    (f"{WATCH} --episodes 0", "Expected episodes >= 1, got 0"),
    (f"{WATCH} --env-kwargs obs=imago", "Did you mean 'image'"),
    ("watch Pendulum-v1 --policy scripted", "make_expert"),
    ("watch CartPole-v1", "bounded Box action space"),
    (f"{TRAIN} --env-id ParrotGraspCup-v9", "Did you mean 'ParrotGraspCup-v0'"),
    (f"{TRAIN} --prior parot-v0", "Unknown prior 'parot-v0'"),
    (f"{TRAIN} --preset papers", "Did you mean 'paper'"),
    (f"{TRAIN} --latent gausian", "Did you mean 'gaussian'"),
    (f"{TRAIN} --kl lots", "nats, auto or 0 for --kl, got 'lots'"),
    (f"{TRAIN} --broad.idle 0.1", "share must be in (0, 1)"),
    (f"{TRAIN} --uniform.n-steps 3 --rewarded.share 0.5", "options of one replay"),
    ("evaluate --run data", "settings of an RL run"),
    ("info demos", "dataset.json or prior.json"),
    ("info no-such-prior", "no-such-prior"),
    ("colect", "Did you mean 'collect'"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistakes_are_one_line_and_leave_nothing(
    words, message, prior_folder, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("parrot_wrapper.cli.watch.render_kwargs", lambda *a, **k: {})
    Path("demos").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    for index in range(2):
        np.savez(f"demos/{index}.npz", camera=images, actions=np.eye(4)[:, :3])
    save_dataset(EpisodeDataset.from_arrays(np.zeros((4, 3)), np.eye(3), [3]), "data")
    assert main(words.format(prior=prior_folder).split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("parrot: ") and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"demos", "data"}
