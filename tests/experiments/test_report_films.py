"""`parrot report --film`: agents of runs filmed into the page; what registers their envs."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.rl.evaluation import evaluate_run, load_agent
from parrot_wrapper.rl.train import read_config, read_packages
from parrot_wrapper.rl.train import train as train_agent
from tests.experiments.synthetic_rows import row, write_rows

pytest.importorskip("pybullet")

ENV_ID = "ParrotGraspCup-v0"
OWN_ID = "OwnGraspCup-v0"
OWN_PACKAGE = f"""
import gymnasium
import parrot_envs

cup = gymnasium.spec("{ENV_ID}")
gymnasium.register("{OWN_ID}", cup.entry_point, kwargs=cup.kwargs, max_episode_steps=5)
"""


def test_report_films_what_has_no_film(prior_folder: str, tmp_path: Path, capsys) -> None:
    run = tmp_path / "runs" / ENV_ID / "parrot" / "p0" / "r0"
    train = ["train", "--env-id", ENV_ID, "--prior", prior_folder, "--out", str(run)]
    assert main([*train, "--total-steps", "25", "--episodes", "0", "--no-progress"]) == 0
    rows = [row(ENV_ID, method, 0) for method in ("parrot", "sac")]
    page = tmp_path / "page.html"
    report = ["report", str(write_rows(tmp_path / "rows", rows)), "--out", str(page)]
    report += ["--runs", str(tmp_path / "runs"), "--film"]
    capsys.readouterr()
    assert main(report) == 0
    film = run / "held-out.gif"
    assert str(film) in capsys.readouterr().out
    assert 1_000 < film.stat().st_size < 200_000
    assert page.read_text(encoding="utf-8").count("data:image/gif;base64,") == 1
    made = film.stat().st_mtime_ns
    assert main(report) == 0
    assert film.stat().st_mtime_ns == made


PYTHON: dict[str, Callable[[Path], Any]] = {
    "load_agent()": lambda run: load_agent(run)[1].close(),
    "evaluate_run()": lambda run: evaluate_run(run, episodes=1),
    "train()": lambda run: train_agent(
        replace(read_config(run), total_steps=15), run, progress=False
    ),
}


@pytest.mark.parametrize("command", ["evaluate", "watch", "report", "train", *PYTHON])
def test_a_run_remembers_what_registers_its_env(command: str, tmp_path: Path, monkeypatch) -> None:
    """The modules that `parrot train` was given are not asked for again."""
    (tmp_path / "own_cups.py").write_text(OWN_PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "runs" / OWN_ID / "sac" / "p0" / "r0"
    train = ["train", "--env-id", OWN_ID, "--prior", "none", "--out", str(run), "--no-progress"]
    train += ["--total-steps", "10", "--episodes", "0"]
    assert main([*train, "--gym-packages", "own_cups"]) == 0
    rows = write_rows(tmp_path / "rows", [row(OWN_ID, "sac", 0)])
    words = {
        "evaluate": ["evaluate", "--run", str(run), "--episodes", "1", "--no-progress"],
        "watch": ["watch", OWN_ID, "--policy", f"agent:{run}", "--out", str(tmp_path / "a.gif")],
        "report": ["report", str(rows), "--out", str(tmp_path / "page.html"), "--film", "--runs"],
        "train": [*train, "--total-steps", "15"],
    }.get(command, [])
    words += [str(tmp_path / "runs")] if command == "report" else []
    for _ in range(2):  # going on without them does not forget them
        forget()
        if command in PYTHON:
            PYTHON[command](run)
        else:
            assert main(words) == 0
    forget()
    assert "own_cups" in read_packages(run)


def forget() -> None:
    gym.registry.pop(OWN_ID, None)
    sys.modules.pop("own_cups", None)
