"""Engines: local processes as they promise, and another one that comes from elsewhere."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import load_dataset
from parrot_wrapper.errors import ExecutorError, InvalidArgumentError, UnknownNameError
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.rows import read_rows
from parrot_wrapper.experiments.runner import run_grid
from parrot_wrapper.io.executors import EXECUTORS, Ended, LocalProcesses, Task, stopping
from parrot_wrapper.record.collect import ExpertSource, collect
from tests import engine_tasks as do
from tests.experiments.toy_grid import save_toy_prior, toy_grid
from tests.helpers import wait_for


class InThisProcess:
    """An engine in 20 lines: one task after another, when it is asked how they ended."""

    def __init__(self) -> None:
        self.waiting: list[Task] = []

    def submit(self, task: Task) -> str:
        self.waiting.append(task)
        return "here"

    def poll(self, seconds: float) -> list[Ended]:
        tasks, self.waiting = self.waiting[:1], self.waiting[1:]
        return [self._ended(task) for task in tasks]

    def _ended(self, task: Task) -> Ended:
        try:
            return Ended(task, task.function(*task.arguments))
        except (Exception, KeyboardInterrupt) as error:
            return Ended(task, error=error)

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(EXECUTORS._defined, "here", InThisProcess)
    return "here"


def test_a_collection_is_the_same_with_any_engine(here: str, tmp_path: Path) -> None:
    source = ExpertSource("ParrotMultiTask-v0", gym_packages=("parrot_envs",), shard_attempts=4)
    shards = []
    for engine in ("local", here):
        folder = tmp_path / engine
        collect(source, n_episodes=5, folder=folder, workers=2, engine=engine, progress=False)
        shards.append([path.read_bytes() for path in sorted(folder.glob("shard-*.h5"))])
    least = min(map(len, shards))  # one may have overtaken what was enough
    assert shards[0][:least] == shards[1][:least]
    few = ["collect", "--episodes", "5", "--shard-attempts", "4", "--no-progress", "--engine", here]
    assert main([*few, "--out", str(tmp_path / "command")]) == 0
    assert load_dataset(tmp_path / "command").content_hash == load_dataset(folder).content_hash


@pytest.mark.slow
def test_a_grid_is_the_same_with_any_engine(here: str, tmp_path: Path) -> None:
    grid = toy_grid(save_toy_prior(tmp_path / "prior"), tasks=("ToyBroken-v0", "ToyReach-v0"))
    rows, reasons = [], []
    for engine in ("local", here):
        places = Places(tmp_path / engine / "results", tmp_path / engine / "runs")
        heard: list[str] = []
        outcome = run_grid(
            grid, places, workers=2, engine=engine, device="cpu", say=heard.append, progress=False
        )
        assert outcome.done == 2
        assert any("started, here" in line for line in heard) == (engine == here)
        reasons.append(sorted((failure.name, failure.reason) for failure in outcome.failures))
        clock = {"wall_seconds": 0.0, "finished": "then"}
        found = [replace(row, **clock) for row in read_rows(places.results)]
        rows.append(sorted(found, key=lambda row: row.key))
    assert rows[0] == rows[1]
    assert reasons[0] == reasons[1]
    assert [reason for _, reason in reasons[0]] == ["RuntimeError: this env is broken"] * 2


def test_an_unknown_engine_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"engine 'lokal'.*'local'"):
        collect(
            ExpertSource("ParrotMultiTask-v0"),
            n_episodes=1,
            folder=tmp_path / "data",
            engine="lokal",
        )
    with pytest.raises(UnknownNameError, match=r"engine 'lokal'.*'local'"):
        run_grid(toy_grid("parrot-v0"), Places(tmp_path / "a", tmp_path / "b"), engine="lokal")
    assert not list(tmp_path.iterdir())


def ends(engine: LocalProcesses, *tasks: Task) -> list[Ended]:
    """How tasks end, one after another."""
    found: list[Ended] = []
    for task in tasks:
        engine.submit(task)
        while not (ended := engine.poll(60.0)):
            pass
        found += ended
    assert [ended.task for ended in found] == list(tasks)
    return found


class TestLocalProcesses:
    def test_processes_are_kept_unless_a_fresh_one_is_asked_for(self) -> None:
        with closing(LocalProcesses()) as engine:
            kept = Task("kept", do.own_id)
            fresh = Task("fresh", do.own_id, fresh=True)
            first, second, third = (e.result() for e in ends(engine, kept, replace(kept), fresh))
            told = Task("told", do.threads, cores=3, fresh=True)
            assert ends(engine, told)[0].result() == "3"
            [gone] = [ended.result() for ended in ends(engine, replace(fresh))]
        assert first == second != third
        assert len({first, third, gone, os.getpid()}) == 4
        for pid in (first, third, gone):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    def test_output_and_errors_are_told(self, tmp_path: Path) -> None:
        log = tmp_path / "new" / "log"
        with closing(LocalProcesses()) as engine:
            told, strange, dead, left, unsent = ends(
                engine,
                Task("told", do.say, ("aloud",), log=log, fresh=True),
                Task("strange", do.raise_strange),
                Task("dead", do.die),
                Task("left", do.leave, fresh=True),
                Task("unsent", do.give_what_cannot_be_sent, fresh=True),
            )
        with pytest.raises(InvalidArgumentError, match="not this"):
            told.result()
        text = log.read_text()
        assert text.startswith("aloud\nand from C\nTraceback")
        with pytest.raises(ExecutorError, match="TwoWordsError: onetwo") as caught:
            strange.result()
        assert "in raise_strange" in str(caught.value.__cause__)
        with pytest.raises(ExecutorError, match="killed by signal 9"):
            dead.result()
        with pytest.raises(SystemExit):
            left.result()
        assert unsent.error is not None

    def test_stop_waits_for_a_good_moment(self, tmp_path: Path) -> None:
        with closing(LocalProcesses()) as engine:
            task = Task("patient", do.patient, (tmp_path,), fresh=True)
            engine.submit(task)
            wait_for((tmp_path / "begun").exists)
            running = {task}
            for ended in stopping(engine, running):
                running.remove(ended.task)
                assert isinstance(ended.error, KeyboardInterrupt)
        assert not running
        assert (tmp_path / "saved").exists()

    def test_close_ends_what_does_not_stop(self, tmp_path: Path) -> None:
        with closing(LocalProcesses()) as engine:
            where = engine.submit(Task("stubborn", do.stubborn, (tmp_path,)))
            wait_for((tmp_path / "begun").exists)
            engine.stop()
            assert engine.poll(0.3) == []
        with pytest.raises(ProcessLookupError):
            os.kill(int(where.split()[-1]), 0)
