"""The command's table, exit codes, `parrot collect` and `parrot info`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parrot_wrapper import __version__, cli
from parrot_wrapper.cli import COMMANDS, main
from parrot_wrapper.data import load_dataset
from tests.expert_env import ENV_ID


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
    assert "base_seed: 0 there, 9 now" in capsys.readouterr().err


def test_info_overview(capsys) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"parrot-wrapper {__version__}" in out
    assert "gymnasium" in out
    assert "ParrotGrasp-v0" in out
    assert "CartPole-v1" not in out
