"""Forked processes do not wait for threads that they lack, and one thread is the default."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parrot_wrapper import BehavioralPriorWrapper, FlowPrior, flow_config
from parrot_wrapper.cli import COMMANDS, main
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_trainer import PriorTrainer
from parrot_wrapper.types import FloatArray, Observations
from parrot_wrapper.wrappers.driver import Driver
from tests.helpers import AffinePrior, EchoEnv

ROOT = Path(__file__).parents[1]
SECONDS = 300.0
"""For a script to end in; it takes a tenth of that on cores that are free."""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def said(*args: str) -> str:
    """What a script prints; it and its workers are killed when the time is over."""
    process = subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + "killed: it hangs"


@needs_fork
@pytest.mark.slow
def test_workers_end_after_torch_ran_on_threads():
    printed = said("tests/forked_workers.py")
    assert printed.endswith("all ways\n"), printed


LATE = """
import multiprocessing, torch

def work():
    from parrot_wrapper import load_prior
    load_prior("parrot-v0")
    torch.randn(1_000_000).sin().sum()

torch.set_num_threads(2)
torch.randn(1_000_000).sin().sum()
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
print("exit code", process.exitcode)
"""


@needs_fork
def test_a_worker_may_be_the_first_that_imports_the_package():
    assert said("-c", LATE) == "exit code 0\n"


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class CountingPrior(AffinePrior):
    """Notes on how many threads its maths runs."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def features(self, obs: Observations) -> FloatArray:
        self.threads.add(torch.get_num_threads())
        return super().features(obs)

    def shift(self, features: FloatArray) -> FloatArray:
        self.threads.add(torch.get_num_threads())
        return super().shift(features)


def test_few_rows_take_one_thread_and_the_setting_is_kept(two_threads):
    env = BehavioralPriorWrapper(EchoEnv(), prior := CountingPrior())
    env.reset(seed=0)
    env.step(np.zeros(2, np.float32))
    env.encode(np.zeros(2, np.float32))
    assert prior.threads == {1}
    assert torch.get_num_threads() == 2


def test_many_rows_take_all_threads(two_threads):
    env = EchoEnv()
    driver = Driver(
        env,
        prior := CountingPrior(),
        observation_space=env.observation_space,
        action_space=env.action_space,
        observation="features",
    )
    rows = np.zeros((64, *env.observation_space.shape), np.uint8)
    driver.observe(rows)
    driver.decode(np.zeros((64, 2), np.float32))
    driver.views_of_last(list(rows), np.arange(64))
    assert prior.threads == {2}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_the_default_of_each_command(command, capsys):
    assert main([command, "--help"]) == 0
    shown = " ".join(re.sub(r"[^\w\s():.-]", " ", capsys.readouterr().out).split())
    if "--threads" in shown:
        assert re.search(r"--threads INT .{0,80}\(default: 1\)", shown), shown
    else:
        assert command in {"collect", "data", "demo", "experiment", "info", "record", "report"}


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--env-id", "Nowhere-v0"),
        ("evaluate", "--run", "nowhere"),
        ("eval-prior", "--prior", "nowhere", "--out", "nowhere"),
        ("watch", "Nowhere-v0"),
    ],
)
def test_commands_run_on_the_default(words, two_threads, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2, capsys.readouterr()
    assert torch.get_num_threads() == 1


def test_fits_run_on_the_default(two_threads, monkeypatch):
    threads, update = set(), PriorTrainer.update

    def noted(*args: Any, **options: Any) -> Any:
        threads.add(torch.get_num_threads())
        return update(*args, **options)

    monkeypatch.setattr(PriorTrainer, "update", noted)
    data = EpisodeDataset.from_arrays(np.zeros((12, 2)), np.eye(2)[[0, 1] * 5], [5, 5])
    settings = PriorTrainingConfig(steps=1, batch_size=2, validation_batches=1, device="cpu")
    fit_prior(FlowPrior(flow_config(data, hidden=8)), data, settings, progress=False)
    assert threads == {1}
    assert torch.get_num_threads() == 2
