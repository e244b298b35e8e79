"""Engines that do tasks elsewhere: in processes of this machine, or on others.

An engine is a class with the four methods of `Executor`. A package offers its own under the entry
point group `parrot_wrapper.executors`; `parrot collect` and `parrot experiment` find it by name.
"""

from __future__ import annotations

import _thread
import inspect
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from parrot_wrapper.errors import ExecutorError, InvalidArgumentError, ProcessDiedError
from parrot_wrapper.registry import Registry

EXECUTORS = Registry(
    "engine",
    "parrot_wrapper.executors",
    {
        "local": "parrot_wrapper.io.executors:LocalProcesses",
        "ray": "parrot_wrapper.io.ray_engine:RayCluster",
        "slurm": "parrot_wrapper.io.slurm_engine:SlurmJobs",
    },
)
"""Engines by the name that `--engine` takes."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GRACE_SECONDS = 90.0
"""For what is going on to reach a moment from which it can go on later."""
_EXIT_SECONDS = 10.0
"""For a process that has done its task to end by itself."""


@dataclass(frozen=True, eq=False)
class Task:
    """A call of a function.

    Attributes:
        name: What messages call it.
        function: It stands in a module, so that another process can import it. KeyboardInterrupt
            asks it to stop where it can go on later.
        arguments: Plain values, paths, and dataclasses of them.
        log: File that its output is added to; None for the output of this process.
        cores: Threads of its numerical libraries; 0 leaves them.
        fresh: In a process that has done nothing before and knows nothing of the user's script.
            Others may follow each other in one process, and find there what the one before left;
            a script that submits them needs `if __name__ == "__main__":`.
        reads: Files and folders that it only reads.
        writes: Files and folders that it writes, or goes on with. An engine whose workers share
            no disk carries those of both that are relative.
        gpu: Whether it can use a GPU.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    log: Path | None = None
    cores: int = 0
    fresh: bool = False
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    gpu: bool = False


@dataclass(frozen=True)
class Ended:
    """How a task ended.

    Attributes:
        task: The object that was submitted.
        value: What its function returned.
        error: What it raised instead; KeyboardInterrupt where it was stopped, `ProcessDiedError`
            where nothing is known but that its process has died.
    """

    task: Task
    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        """What the function returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.value


class Executor(Protocol):
    """What does tasks; made with an address or nothing. It gets no more than may run at once."""

    def submit(self, task: Task) -> str:
        """Start a task.

        Returns:
            Where it runs, in words, such as "process 4711".
        """
        ...

    def poll(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call; waits up to `seconds` for the first."""
        ...

    def stop(self) -> None:
        """Ask all tasks to stop at the next moment from which they can go on later."""
        ...

    def close(self) -> None:
        """End at once what still runs, and leave nothing behind; called once, at the end."""
        ...


def engine_maker(name: str, address: str = "") -> Callable[[], Executor]:
    """What makes the engine of this name.

    Args:
        name: "local", "ray", "slurm", or an installed package's.
        address: Where its cluster is; empty for the engine's own choice.

    Raises:
        UnknownNameError: No such engine; the nearest is named.
        MissingExtraError: The package that it needs is not installed.
        InvalidArgumentError: It takes no address.
    """
    kind = EXECUTORS.get(name)
    given = (address,) if address else ()
    try:
        inspect.signature(kind).bind(*given)
    except TypeError as error:
        raise InvalidArgumentError(
            f"Expected no address for the engine {name!r}, got {address!r}. Leave it out, or "
            "choose an engine with a cluster, such as ray."
        ) from error
    return lambda: kind(*given)


def stopping(engine: Executor, running: Collection[Task]) -> Iterator[Ended]:
    """Stop an engine, and tell what ends until nothing runs or patience does.

    Args:
        engine: The engine.
        running: Its tasks; whoever reads what has ended removes them.
    """
    engine.stop()
    patience = time.monotonic() + _GRACE_SECONDS
    while running and (left := patience - time.monotonic()) > 0:
        yield from engine.poll(left)


class LocalProcesses:
    """Processes of this machine.

    They start as new interpreters, do not hear Ctrl-C, and die with this process however it dies.
    """

    def __init__(self) -> None:
        self._workers: list[_Worker] = []

    def submit(self, task: Task) -> str:
        """Start a task in a process that is idle, or in a new one."""
        idle = (worker for worker in self._workers if worker.task is None)
        worker = None if task.fresh else next(idle, None)
        if worker is None:
            worker = _Worker(task)
            self._workers.append(worker)
        worker.give(task)
        return f"process {worker.pid}"

    def poll(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call; waits up to `seconds` for the first."""
        busy = [worker for worker in self._workers if worker.task is not None]
        wait([sign for worker in busy for sign in worker.signs], seconds)
        ended = [ended for worker in busy if (ended := worker.ended()) is not None]
        self._workers = [worker for worker in self._workers if not worker.closed]
        return ended

    def stop(self) -> None:
        """Interrupt all tasks."""
        for worker in self._workers:
            worker.stop()

    def close(self) -> None:
        """Kill all processes."""
        for worker in self._workers:
            worker.close(patience=0.0)


class _Worker:
    """A process seen from the parent, with the task that it has now."""

    def __init__(self, task: Task) -> None:
        self.task: Task | None = None
        self.closed = False
        context = multiprocessing.get_context("spawn")
        self._link, their_link = context.Pipe()
        their_life, self._life = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_work, args=(their_link, their_life, task.log, task.cores), name=task.name
        )
        with _interrupts_held(), main_as_it_is(not task.fresh):
            self._process.start()
        their_link.close()
        their_life.close()
        self.signs: tuple[Any, ...] = (self._link, self._process.sentinel)
        """What `wait` waits for: that it says something, or that it ends."""

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def give(self, task: Task) -> None:
        self.task = task
        _send(self._link, (task.function, task.arguments))

    def stop(self) -> None:
        _send(self._life, "stop")

    def ended(self) -> Ended | None:
        """What became of its task, once that is known."""
        gone = not self._process.is_alive()  # before the look at what it may have said last
        try:
            if not (gone or self._link.poll()):
                return None
            if not self._link.poll():
                raise EOFError
            value, error, trace = self._link.recv()
        except (EOFError, OSError):
            self._process.join(_EXIT_SECONDS)
            value, error, trace = None, ProcessDiedError(_death(self._process.exitcode)), ""
        if error is not None and trace:
            error.__cause__ = ExecutorError(trace)
        task, self.task = self.task, None
        assert task is not None
        if task.fresh or isinstance(error, KeyboardInterrupt | ExecutorError):
            self.close(patience=_EXIT_SECONDS)
        return Ended(task, value, error)

    def close(self, *, patience: float) -> None:
        self._link.close()  # it ends when it looks for its next task
        if patience:
            self._process.join(patience)
        self._process.kill()
        self._process.join()
        self._life.close()
        self.closed = True


def _send(link: Connection, message: object) -> None:
    try:
        link.send(message)
    except (BrokenPipeError, ConnectionResetError):
        return  # it has died; its sentinel says so


def _death(code: int | None) -> str:
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that starts in the block waits with Ctrl-C until it has said what that means."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def main_as_it_is(known: bool) -> Iterator[None]:
    """Whether processes that start in the block import the user's script, which a guard allows."""
    main = sys.modules["__main__"]
    if not known:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(link: Connection, life: Connection, log: Path | None, cores: int) -> None:
    """The process: one task after another until there is no further one."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal is for the parent, which knows what it means
    # the shell of a parent in the background may have had Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if log is not None:
        _write_to(log)
    if cores:  # before NumPy and torch are loaded, which is when they look
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(cores)))
    threading.Thread(target=_obey, args=(life,), daemon=True).start()
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        while True:
            link.send(_outcome(link, told=log is not None))
    except (KeyboardInterrupt, EOFError, OSError):
        return


def _outcome(link: Connection, *, told: bool) -> tuple[Any, BaseException | None, str]:
    """Do the next task: what its function returned, or raised and where."""
    function, arguments = link.recv()
    try:
        value = function(*arguments)
        ForkingPickler.dumps(value)
        return value, None, ""
    except KeyboardInterrupt as stopped:
        return None, stopped, ""
    except BaseException as error:
        trace = traceback.format_exc()
        if told:
            sys.stderr.write(trace)
        return None, _sendable(error), "" if told else trace


def _sendable(error: BaseException) -> BaseException:
    try:
        again = ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        again = None
    told = "".join(traceback.format_exception_only(error)).strip()
    return error if isinstance(again, BaseException) else ExecutorError(told)


def _write_to(log: Path) -> None:
    """From here on all output goes to a file, that of libraries in C too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _obey(life: Connection) -> None:
    """Interrupt the task where the parent asks for it; end with the parent."""
    try:
        while True:
            life.recv()
            _interrupt_main()
    except (EOFError, OSError):
        os._exit(1)


def _interrupt_main() -> None:
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)  # wakes it where it waits
    else:
        _thread.interrupt_main()
