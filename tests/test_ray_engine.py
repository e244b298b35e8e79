"""Ray: the results of local processes, files that travel, and what goes wrong with machines."""

import http.server
import importlib
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.errors import (
    ClusterError,
    ExecutorError,
    InvalidArgumentError,
    MissingExtraError,
    ProcessDiedError,
    WriteError,
)
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.rows import read_rows
from parrot_wrapper.experiments.runner import run_grid
from parrot_wrapper.io import carried_files
from parrot_wrapper.io.executors import Ended, Executor, Task, engine_maker, stopping
from parrot_wrapper.record.collect import ExpertSource, collect
from tests import engine_tasks as do
from tests.experiments.toy_grid import save_toy_prior, toy_grid

pytest.importorskip("ray")
ray_engine = importlib.import_module("parrot_wrapper.io.ray_engine")
ray = ray_engine.ray  # which has read the settings of that module

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A Ray that all tests share; each engine would start its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # not 15, with which nothing ends beside other work
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", str(ROOT))  # the workers' tests
        ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command runs in; the workers are somewhere else."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def end(engine: Executor, task: Task) -> Ended:
    engine.submit(task)
    while not (ended := engine.poll(60.0)):
        pass
    assert [e.task for e in ended] == [task]
    return ended[0]


def test_a_collection_is_that_of_local_processes(workplace: Path) -> None:
    source = ExpertSource("ParrotMultiTask-v0", gym_packages=("parrot_envs",), shard_attempts=4)
    collect(source, n_episodes=5, folder="local", workers=1, progress=False)
    few = ["--episodes", "5", "--shard-attempts", "4", "--no-progress", "--workers", "2"]
    assert main(["collect", *few, "--engine", "ray", "--out", "ray"]) == 0
    for path in Path("local").glob("shard-*"):
        assert (Path("ray") / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_grid_is_that_of_local_processes(workplace: Path) -> None:
    grid = toy_grid(save_toy_prior(Path("prior")), tasks=("ToyBroken-v0", "ToyReach-v0"))
    grid = replace(grid, methods=("parrot",))
    rows, files, reasons = [], [], []
    for engine in ("local", "ray"):
        places = Places(Path(engine, "results"), Path(engine, "runs"))
        outcome = run_grid(grid, places, workers=2, engine=engine, device="cpu", progress=False)
        assert outcome.done == 1
        clock = {"wall_seconds": 0.0, "finished": "then"}
        found = [replace(row, **clock) for row in read_rows(places.results)]
        rows.append(sorted(found, key=lambda row: row.key))
        paths = (path.relative_to(places.runs) for path in places.runs.rglob("*"))
        shown = (path for path in paths if not path.name.startswith(("events.", ".lock")))
        files.append(sorted(shown))
        reasons.append(sorted((failure.name, failure.reason) for failure in outcome.failures))
        assert "this env is broken" in outcome.failures[0].log.read_text()
    assert rows[0] == rows[1]
    assert files[0] == files[1]
    assert reasons[0] == reasons[1]


def test_relative_paths_travel(workplace: Path) -> None:
    Path("given").write_text("text")
    Path("made").mkdir()
    Path("made/old").touch()
    task = Task("copy", do.copy, (Path("given"), Path("made")), Path("logs/a.log"), fresh=True)
    with closing(ray_engine.RayCluster()) as engine:
        ended = end(engine, replace(task, reads=(Path("given"),), writes=(Path("made"),)))
        assert ended.result() != workplace
        assert not list(ended.result().iterdir())  # nothing is left there
        assert Path("made/copy").read_text() == "text copied"
        assert Path("made/old").exists()
        assert Path("logs/a.log").exists()
        for path in (Path("../made"), Path("a/../../made")):
            with pytest.raises(InvalidArgumentError, match=r"below the folder.*\.\./made"):
                engine.submit(replace(task, writes=(path,)))


def test_what_dies_is_done_again(workplace: Path) -> None:
    with closing(ray_engine.RayCluster()) as engine:
        again = Task("again", do.die_once, (workplace / "mark",), reads=(workplace,))
        assert end(engine, again).result() == "done"
        dead, strange, lacking, full = (
            end(engine, Task("task", function)).error
            for function in (do.die, do.raise_strange, do.lack_an_extra, do.fill_the_disk)
        )
    assert isinstance(dead, ProcessDiedError)
    assert f"{platform.node()}: task: killed by signal 9" in str(dead)
    assert type(strange) is ExecutorError
    assert isinstance(lacking, MissingExtraError)
    assert str(lacking).startswith(f"{platform.node()}: needs what")
    assert isinstance(full, WriteError)
    assert str(full).startswith(f"{platform.node()}: made.json") and "Make room" in str(full)


@pytest.mark.parametrize("retries", [1, 0])
def test_what_runs_on_a_lost_machine_is_begun_again(
    retries: int, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray shows it where a link is cut: a machine is dead, and its tasks just say nothing."""
    monkeypatch.setattr(ray_engine, "_RETRIES", retries)
    mark = workplace / "mark"
    with closing(ray_engine.RayCluster()) as engine:
        engine.submit(Task("patient", do.hang_once, (mark,)))
        while not mark.exists():
            assert engine.poll(0.1) == []
        with monkeypatch.context() as patch:
            dead = [node | {"Alive": False} for node in ray.nodes()]
            patch.setattr(ray, "nodes", lambda: dead)
            ended = engine.poll(0.1)
        while not ended:
            ended = engine.poll(60.0)
    if retries:
        assert ended[0].result() == "done"
    else:
        assert isinstance(ended[0].error, ProcessDiedError)
        assert "machine was lost" in str(ended[0].error)


def test_stop_waits_for_a_good_moment(workplace: Path) -> None:
    Path("place").mkdir()
    Path("place/first").touch()
    place, log = Path("place"), Path("place/said.log")
    task = Task("patient", do.patient, (place,), log, fresh=True, writes=(place,))
    late = Task("late", do.own_id, cores=2)
    with closing(ray_engine.RayCluster()) as engine:
        running = {task, late}
        engine.submit(task)
        while not (log.exists() and log.read_text()):
            assert engine.poll(0.1) == []
        engine.submit(late)  # waits for cores
        assert engine.poll(0.5) == []
        for ended in stopping(engine, running):
            running.remove(ended.task)
            assert isinstance(ended.error, KeyboardInterrupt)
    assert not running
    assert Path("place/saved").exists()


def test_those_that_can_use_a_gpu_share_it(workplace: Path) -> None:
    with closing(ray_engine.RayCluster()) as engine:
        with_one = Task("with", os.getenv, ("CUDA_VISIBLE_DEVICES",), gpu=True)
        assert end(engine, with_one).result() == "0"
        assert not end(engine, replace(with_one, gpu=False)).result()


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "versions", lambda: {"parrot-wrapper": "0.0", "Python": "2.7"})
    with (
        closing(ray_engine.RayCluster()) as engine,
        pytest.raises(ClusterError, match=rf"{platform.node()}.*2\.7"),
    ):
        end(engine, Task("task", do.own_id)).result()


def test_a_cluster_with_another_ray_is_refused() -> None:
    address = ray.get_runtime_context().gcs_address
    script = (
        "import ray; from parrot_wrapper.io.ray_engine import RayCluster; "
        f"ray.__version__ = '0.1'; RayCluster({address!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    told = done.stderr.splitlines()[-1]
    assert "ClusterError" in told and address in told
    assert "Ray: 0.1" in told and f"Ray: {ray.__version__}" in told


def test_a_worker_that_cannot_read_its_task_is_named(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("only_here.py").write_text("def do(): ...")
    monkeypatch.syspath_prepend(workplace)
    with closing(ray_engine.RayCluster()) as engine:
        module = end(engine, Task("task", importlib.import_module("only_here").do)).error
        extra = end(engine, Task("task", do.own_id, (do.NeedsAnExtra(),))).error
    where = ray.util.get_node_ip_address()
    assert isinstance(module, ClusterError)
    assert str(module).startswith(f"{where}: ") and "'only_here'. Install" in str(module)
    assert isinstance(extra, MissingExtraError)
    assert str(extra) == f"{where}: needs what this machine does not have"


def test_a_disk_that_is_not_shared_is_named(tmp_path: Path) -> None:
    there = carried_files.anchors([tmp_path / "not" / "yet", tmp_path, Path("relative")])
    assert there == [tmp_path, tmp_path]
    carried_files.require_shared(there, "host")
    with pytest.raises(ClusterError, match=r"host: .*elsewhere"):
        carried_files.require_shared([tmp_path / "elsewhere"], "host")


@pytest.mark.parametrize(
    ("engine", "address", "error", "words"),
    [
        ("ray", "127.0.0.1:9", ClusterError, "nothing answers"),
        ("ray", "ray://127.0.0.1:9", ClusterError, "nothing answers"),
        ("ray", "nonsense", ClusterError, "'nonsense'"),
        ("local", "127.0.0.1:9", InvalidArgumentError, "no address for the engine 'local'"),
    ],
)
def test_a_wrong_address(
    engine: str, address: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(error, match=words):
        engine_maker(engine, address)()


def test_an_address_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the port of Ray's dashboard, which is taken for the cluster's."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    handler = http.server.BaseHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ClusterError, match="what is there is not Ray"):
            ray_engine.RayCluster(f"127.0.0.1:{server.server_port}")
        server.shutdown()
