"""Slurm: jobs of this machine stand in for Slurm's, by the same submitit."""

import platform
from contextlib import closing
from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.errors import ClusterError, ExecutorError, MissingExtraError, ProcessDiedError
from parrot_wrapper.io.executors import Ended, Executor, Task, engine_maker, stopping
from parrot_wrapper.record.collect import ExpertSource, collect
from tests import engine_tasks as do

pytest.importorskip("submitit")
slurm_engine = pytest.importorskip("parrot_wrapper.io.slurm_engine")

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the jobs' tests
    monkeypatch.setattr(slurm_engine, "_RETRIES", 1)
    return tmp_path


def ends(engine: Executor, *tasks: Task) -> list[Ended]:
    """How tasks end, all at once."""
    for task in tasks:
        assert engine.submit(task).startswith("Slurm job ")
    found: list[Ended] = []
    while len(found) < len(tasks):
        found += engine.poll(60.0)
    return sorted(found, key=lambda ended: tasks.index(ended.task))


def test_a_collection_is_that_of_local_processes() -> None:
    source = ExpertSource("ParrotMultiTask-v0", gym_packages=("parrot_envs",), shard_attempts=4)
    collect(source, n_episodes=3, folder="local", workers=1, progress=False)
    few = ["--episodes", "3", "--shard-attempts", "4", "--no-progress", "--workers", "1"]
    where = ["--engine", "slurm", "--address", "local", "--out", "slurm"]
    assert main(["collect", *few, *where]) == 0
    for path in Path("local").glob("shard-*"):
        assert (Path("slurm") / path.name).read_bytes() == path.read_bytes()
    assert not list(Path().glob("slurm-*"))  # the jobs' files


def test_what_dies_is_done_again(workplace: Path) -> None:
    with closing(slurm_engine.SlurmJobs("local")) as engine:
        again, strange, lacking = ends(
            engine,
            Task("again", do.die_once, (workplace / "mark",)),
            Task("strange", do.raise_strange),
            Task("lacking", do.lack_an_extra),
        )
        assert again.result() == "done"
        assert type(strange.error) is ExecutorError
        assert isinstance(lacking.error, MissingExtraError)
        assert str(lacking.error).startswith(f"{platform.node()}: ")
    assert not list(workplace.glob("slurm-*"))


def test_what_dies_again_keeps_what_it_said(workplace: Path) -> None:
    with closing(slurm_engine.SlurmJobs("local")) as engine:
        (dead,) = ends(engine, Task("dead", do.die))
    assert isinstance(dead.error, ProcessDiedError)
    assert "killed by signal 9" in str(dead.error)
    assert list(workplace.glob("slurm-*/*.out"))


def test_stop_waits_for_a_good_moment(workplace: Path) -> None:
    with closing(slurm_engine.SlurmJobs("local")) as engine:
        running = {Task("patient", do.patient, (workplace,), fresh=True)}
        engine.submit(*running)
        while not (workplace / "begun").exists():
            assert engine.poll(0.1) == []
        for ended in stopping(engine, running):
            running.remove(ended.task)
            assert isinstance(ended.error, KeyboardInterrupt)
    assert (workplace / "saved").exists()


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_engine, "versions", lambda: {"Python": "2.7"})
    with closing(slurm_engine.SlurmJobs("local")) as engine:
        (ended,) = ends(engine, Task("task", do.own_id))
    with pytest.raises(ClusterError, match=rf"{platform.node()}.*2\.7"):
        ended.result()


@pytest.mark.parametrize(("address", "words"), [("", "srun.*login node"), ("lokal", "lokal")])
def test_where_there_is_no_slurm(address: str, words: str, workplace: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(workplace))
    with pytest.raises(ClusterError, match=words):
        engine_maker("slurm", address)()
    assert not list(workplace.iterdir())


def test_a_node_that_cannot_read_its_task_is_named() -> None:
    with closing(slurm_engine.SlurmJobs("local")) as engine:
        (ended,) = ends(engine, Task("task", do.own_id, (do.NeedsAnExtra(),)))
    assert isinstance(ended.error, MissingExtraError)
    assert str(ended.error) == f"{platform.node()}: needs what this machine does not have"


def test_what_slurm_does_not_take(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("srun", "sbatch"):
        program = workplace / name
        program.write_text("#!/bin/sh\necho sbatch: error: invalid partition: gqu >&2; exit 1")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(workplace), prepend=":")
    with (
        closing(slurm_engine.SlurmJobs()) as engine,
        pytest.raises(ClusterError, match=r"take task as a job.*invalid partition: gqu.*SBATCH_"),
    ):
        engine.submit(Task("task", do.own_id))
