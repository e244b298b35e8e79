"""Tasks on the machines of a Ray cluster."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import (
    ClusterError,
    ParrotError,
    ProcessDiedError,
    WriteError,
    needed_extra,
)
from parrot_wrapper.io.carried_files import (
    Files,
    anchors,
    carried,
    packed,
    put_back,
    require_shared,
    unpack,
)
from parrot_wrapper.io.executors import Ended, LocalProcesses, Task
from parrot_wrapper.io.supervised import (
    Outcome,
    before_the_task,
    placed,
    require_versions,
    supervised,
    versions,
)

os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # not 30: machines may be busy
with needed_extra("ray", "The engine ray needs Ray"):
    import ray  # which reads its settings now
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_LOOK_SECONDS = 1.0
"""Between two looks of a worker at its process, and two words with the driver."""
_RETRIES = 3
"""Of a task whose process, worker or machine died."""
_TOLD = (".jsonl", ".log")
"""Files that come before the task has ended: how far it is."""
_GROWTH = 1.02
"""By how much such a file has to grow to be sent again: all of it would be sent every second."""
_CONNECT_SECONDS = 30.0
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How HTTP/2 begins, which Ray speaks: with an empty frame of settings (RFC 9113, section 3.4)."""


class RayCluster:
    """The machines of a Ray cluster, or a Ray of this machine that is started for the purpose.

    A task that waits is done wherever cores are free, and done again elsewhere if its machine is
    lost. Relative paths are carried, so that no machine needs to share a disk.

    Args:
        address: Of the cluster, such as "10.0.0.1:6379" or "auto"; empty for that of the variable
            RAY_ADDRESS, or else for a Ray that is started here and ends with this object. Where the
            caller has connected to Ray before, that is used.

    Raises:
        ClusterError: Nothing answers there, or with another version of Ray or Python.
    """

    def __init__(self, address: str = "") -> None:
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(address or os.environ.get("RAY_ADDRESS", "") or "local")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        desk = ray.remote(_Desk).options(num_cpus=0, scheduling_strategy=here)
        self._desk: Any = desk.remote()
        self._do = ray.remote(_do)
        self._running: dict[Any, _Order] = {}
        self._machines: dict[str, str] = {}
        self._read: dict[tuple[Any, ...], Any] = {}
        total = ray.cluster_resources()
        self._gpus_per_core = total.get("GPU", 0.0) / max(total.get("CPU", 1.0), 1.0)

    def submit(self, task: Task) -> str:
        """Hand a task to the cluster.

        Raises:
            InvalidArgumentError: A path is outside the folder that this process works in.
        """
        before = packed(carried(_written(task)), Path())
        shared = anchors((*task.reads, *task.writes))
        given = (self._carried(task), before, shared, versions())
        return self._start(_Order(task, given, _RETRIES))

    def _start(self, order: _Order) -> str:
        cores = max(1, order.task.cores)
        do = self._do.options(
            name=order.task.name,
            num_cpus=cores,
            num_gpus=min(1.0, round(cores * self._gpus_per_core, 4)) if order.task.gpu else 0,
            max_retries=order.retries,
            retry_exceptions=[ProcessDiedError],
        )
        reference = do.remote(order.task, *order.given, desk=self._desk)
        self._running[reference] = order
        return f"Ray task {reference.task_id().hex()[:8]}"

    def _carried(self, task: Task) -> Any:
        """What a task reads, in the store: once for all tasks, while it is the same."""
        paths = carried(task.reads)
        files = [file for path in paths for file in (path, *path.rglob("*"))]
        seen = ((file, stat.st_size, stat.st_mtime_ns) for file in files if (stat := file.stat()))
        key = tuple(seen)
        if key not in self._read:
            self._read[key] = ray.put(packed(paths, Path()))
        return self._read[key]

    def poll(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call; waits up to `seconds` for the first."""
        if not self._running:
            return []
        waiting = list(self._running)
        ray.wait(waiting, timeout=seconds)
        ended, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        news, machines = ray.get(self._desk.take.remote())
        self._machines.update(machines)
        for name, content in news.items():
            put_back({name: content}, [Path(name)])
        found = [self._ended(reference, self._running.pop(reference).task) for reference in ended]
        return [*found, *self._lost()]

    def _lost(self) -> list[Ended]:
        """Begin again what ran on machines that are lost; what has begun too often has ended.

        Ray itself does so where the connection breaks. Where packets are lost it learns of that by
        its RAY_grpc_client_keepalive_... alone, minutes after it has taken the machine for dead.
        """
        gone = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
        ids = {reference.task_id().hex(): reference for reference in self._running}
        self._machines = {name: self._machines[name] for name in ids if name in self._machines}
        ended = []
        for reference in [ids[name] for name, where in self._machines.items() if where in gone]:
            order = self._running.pop(reference)
            ray.cancel(reference, force=True)
            if order.retries:
                self._start(replace(order, retries=order.retries - 1))
            else:
                error = ProcessDiedError(f"{order.task.name}: its machine was lost each time")
                ended.append(Ended(order.task, error=error))
        return ended

    def _ended(self, reference: Any, task: Task) -> Ended:
        try:
            (value, error), files = ray.get(reference)
            put_back(files, carried(_written(task)))
            if error is None:
                _require_here(task)
        except RayTaskError as failed:
            cause = failed.cause
            known = isinstance(cause, ParrotError)
            return Ended(task, error=cause if known else _of_worker(failed))
        except (ParrotError, RayError) as failed:
            known = isinstance(failed, ParrotError)
            return Ended(task, error=failed if known else ProcessDiedError(_first_line(failed)))
        return Ended(task, value, error)

    def stop(self) -> None:
        """Tell all workers at their next word with the driver."""
        ray.get(self._desk.stop.remote())

    def close(self) -> None:
        """Kill what runs, and the Ray that was started here."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        ray.kill(self._desk)
        if self._ours:
            ray.shutdown()


@dataclass(frozen=True)
class _Order:
    """A task, what its worker is given beside it, and how often it may begin again."""

    task: Task
    given: tuple[Any, ...]
    retries: int


class _Desk:
    """An actor beside the driver: workers tell it how far they are, and hear whether to stop."""

    def __init__(self) -> None:
        self._news: Files = {}
        self._machines: dict[str, str] = {}
        self._stopping = False

    def tell(self, task: str, machine: str, news: Files) -> bool:
        self._machines[task] = machine
        self._news.update(news)
        return self._stopping

    def take(self) -> tuple[Files, dict[str, str]]:
        taken = self._news, self._machines
        self._news, self._machines = {}, {}
        return taken

    def stop(self) -> None:
        self._stopping = True


def _do(
    task: Task, reads: Files, before: Files, shared: list[Path], expected: dict[str, str], desk: Any
) -> tuple[Outcome, Files]:
    """What a worker does: the task, in a folder with what it reads; and what it wrote."""
    require_versions(expected)
    require_shared(shared, platform.node())
    (place, engine), paths = _workshop(), carried(_written(task))
    told: dict[str, int] = {}
    known = ray.get_runtime_context()
    me = known.get_task_id(), known.get_node_id()

    def asked_to_stop() -> bool:
        now = packed(paths, place, ends=_TOLD)
        news = {k: text for k, text in now.items() if len(text) > _GROWTH * told.get(k, 0)}
        told.update({name: len(content) for name, content in news.items()})
        return bool(ray.get(desk.tell.remote(*me, news)))

    try:
        unpack(reads, place)
        unpack(before, place)
        outcome = supervised(task, engine, asked_to_stop, look_every=_LOOK_SECONDS)
        return outcome, packed(paths, place)
    except WriteError as error:
        raise placed(error) from error
    finally:
        for path in place.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


@cache
def _workshop() -> tuple[Path, LocalProcesses]:
    """The folder that this worker works in, and its processes, which are there too."""
    place = Path(tempfile.mkdtemp(prefix="parrot-"))
    os.chdir(place)
    return place, LocalProcesses()


def _written(task: Task) -> tuple[Path, ...]:
    """What comes back of a task: its log too, where that is a file of its own."""
    inside = task.log is None or any(path in task.log.parents for path in task.writes)
    return task.writes if inside or task.log is None else (*task.writes, task.log)


def _require_here(task: Task) -> None:
    shared = [path for path in task.writes if path.is_absolute()]
    if shared and not any(path.exists() for path in shared):
        require_shared(shared, platform.node())


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    _require_answer(address)
    try:
        with _signals_kept():
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # a start that takes too long is a bare Exception of Ray's
        raise ClusterError(
            f"Expected a Ray cluster at {address!r} with Ray {ray.__version__} and Python "
            f"{platform.python_version()}, got: {' '.join(str(error).split())}"
        ) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray has its own idea of what SIGTERM means; the caller's is kept."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items() if main else ():
        signal.signal(number, handler)


def _require_answer(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return  # "local", "auto"
    try:
        place = host.strip("[]"), int(port)
        with socket.create_connection(place, _CONNECT_SECONDS) as link:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                link.sendall(_HELLO)
                if link.recv(9)[3:4] != b"\x04":  # which is how settings begin too
                    raise ConnectionError("what is there is not Ray")
    except OSError as error:
        raise ClusterError(
            f"Expected a Ray cluster at {address!r}, but nothing answers there ({error}). Start "
            f"one with `ray start --head --port {port}` on {host}, or leave the address out for "
            "one on this machine."
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _of_worker(failed: RayTaskError) -> ParrotError:
    """What went wrong in a worker before or after its task, with the address of its machine."""
    told = str(failed)
    where = re.search(r"\bip=([\w.:]+)", told)
    return before_the_task(told, where[1] if where else "a worker")
