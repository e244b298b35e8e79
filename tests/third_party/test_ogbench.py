"""OGBench: play data of its own oracles, a prior of them, and SAC in one of its tasks."""

import runpy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import load_dataset
from parrot_wrapper.record.collect import record_episode

pytest.importorskip("ogbench")
pytestmark = pytest.mark.filterwarnings("ignore")  # of its packages
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TASK = "cube-double-singletask-task1-v0"


@pytest.fixture
def play(monkeypatch):
    """Registers its envs, with episodes of 80 steps."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = runpy.run_path(str(BENCHMARKS / "ogbench_play.py"))
    return lambda base: gym.wrappers.TimeLimit(module["Play"](base), 80)


@pytest.mark.parametrize("base", ["cube-double-v0", "scene-v0", "puzzle-3x3-v0"])
def test_the_same_seed_plays_the_same(play, base):
    first, again = (record_episode(play(base), seed=3)[0] for _ in range(2))
    assert first.digest() == again.digest()
    assert first.n_steps == 80 and np.abs(first.actions).max() <= 1.0
    other, _ = record_episode(play(base), seed=4)
    assert other.digest() != first.digest()


def test_from_the_data_to_an_agent(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)
    quiet = ["--no-progress"]
    collect = ["collect", "--gym-packages", "ogbench_play", "--env-id", "OGBenchCubeDoublePlay-v0"]
    few = ["--workers", "1", "--shard-attempts", "1", "--out", "data"]
    for episodes in ("1", "2"):  # it goes on
        assert main([*collect, "--episodes", episodes, *few, *quiet]) == 0
    data = load_dataset("data")
    assert data.lengths.tolist() == [1001, 1001]
    small = ["--steps", "4", "--batch-size", "16", "--out", "prior"]
    assert main(["train-prior", "--data", "data", *small, *quiet]) == 0
    train = ["train", "--gym-packages", "ogbench", "--env-id", TASK, "--prior", "prior"]
    short = ["--total-steps", "60", "--learning-starts", "30", "--episodes", "0", "--out", "run"]
    assert main([*train, "--targets", "kl", *short, *quiet]) == 0
