"""Run a grid: worker processes side by side, resumable, one writer of the results.

Whatever stops it, the same call goes on: runs continue from their checkpoints, and those that have
a row are not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from parrot_wrapper.errors import InvalidArgumentError, ParrotError
from parrot_wrapper.experiments.children import Child
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.job_queue import Failure, JobQueue, Task
from parrot_wrapper.experiments.places import Places
from parrot_wrapper.experiments.plan import make_plan, weight
from parrot_wrapper.experiments.run_files import steps_so_far
from parrot_wrapper.experiments.runs import Run
from parrot_wrapper.io.interruption import Interruption, deferred_interrupt
from parrot_wrapper.io.locking import folder_lock

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 1.0
"""Between two looks at how far all runs are."""
_GRACE_SECONDS = 90.0
"""For what is going on to reach a moment from which it can go on later."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `run_grid` ended.

    Attributes:
        done: Runs with a row, those of earlier calls included.
        total: Runs that were asked for.
        failures: Runs and artifacts whose process failed, with what it said last.
        blocked: Runs that need something that failed.
        out_of_time: Whether `max_minutes` ended it.
    """

    done: int
    total: int
    failures: tuple[Failure, ...]
    blocked: tuple[str, ...]
    out_of_time: bool


def run_grid(
    grid: Grid,
    places: Places,
    *,
    runs: Sequence[Run] | None = None,
    workers: int = 1,
    device: str = "auto",
    max_minutes: float = 0.0,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Outcome:
    """Do the runs of a grid that have no row yet, and what they need first.

    A failing run does not stop the others. Ctrl-C, SIGTERM and the end of the time ask what is
    running to stop where it can go on later; a second Ctrl-C ends it at once.

    Args:
        grid: The grid.
        places: Its folders.
        runs: Some of its runs; None for all.
        workers: Cores to use: so many runs side by side; data are collected with more than one
            where there is nothing else to do. On a GPU they share it.
        device: Torch device of all.
        max_minutes: Stop after so much time; 0 for no limit.
        say: Called with a line at every event.
        progress: Show a bar of env steps.

    Raises:
        InvalidArgumentError: `workers` or `max_minutes` is out of range, or the folders hold a grid
            with other settings.
        DataFileError: A damaged file, or another process is at work in the folders.
        KeyboardInterrupt: Ctrl-C or SIGTERM, when all has stopped.
    """
    if workers < 1 or max_minutes < 0:
        raise InvalidArgumentError(
            f"Expected workers >= 1 and max_minutes >= 0, got {workers} and {max_minutes}."
        )
    chosen = grid.runs() if runs is None else tuple(runs)
    with folder_lock(places.runs), deferred_interrupt() as interruption:
        places.claim(grid)
        queue = JobQueue(grid, make_plan(grid, chosen, places), places, device=device)
        deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else None
        with _Pool(queue, places, workers, say or _silent, progress=progress) as pool:
            out_of_time = pool.work(interruption, deadline)
    if interruption.requested:
        raise KeyboardInterrupt
    return Outcome(
        done=queue.done,
        total=len(chosen),
        failures=tuple(queue.failures),
        blocked=tuple(queue.blocked),
        out_of_time=out_of_time,
    )


class _Pool:
    """The child processes of a call, and the bar over them."""

    def __init__(
        self,
        queue: JobQueue,
        places: Places,
        workers: int,
        say: Callable[[str], None],
        *,
        progress: bool,
    ) -> None:
        self._queue, self._places, self._workers, self._say = queue, places, workers, say
        self._running: dict[Child, Task] = {}
        self._next_look = 0.0
        self._bar: Any = tqdm(
            total=sum(weight(run) for run in queue.runs),
            initial=queue.weight_done + sum(self._steps(task) for task in queue.waiting),
            desc=places.runs.name,
            unit="step",
            mininterval=1.0,
            smoothing=0.0,
            disable=not progress,
        )

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._running:
            child.kill()
            child.close()
        self._bar.close()

    def work(self, interruption: Interruption, deadline: float | None) -> bool:
        """Work until nothing is left or something ends it; whether that was the time."""
        while True:
            self._reap(stopping=False)
            late = deadline is not None and time.monotonic() >= deadline
            if interruption.requested or late:
                self._stop()
                return late and not interruption.requested
            self._start()
            if not self._running:
                return False
            self._show()
            time.sleep(_POLL_SECONDS)

    def _start(self) -> None:
        while (free := self._workers - sum(child.cores for child in self._running)) > 0:
            ready = self._queue.count_ready()
            if not ready:
                return
            self._launch(self._queue.take(), free // ready)

    def _launch(self, task: Task, share: int) -> None:
        """Start a task; only a collection of data gains from a second core."""
        collects = task.artifact is not None and task.artifact.kind == "data"
        cores = max(1, share) if collects else 1
        try:
            job = self._queue.job(task, cores=cores)
        except ParrotError as error:
            self._give_up(task, str(error))
            return
        child = Child(job, log=task.log, cores=cores)
        self._running[child] = task
        self._say(f"{task.name}: started, process {child.pid}")

    def _reap(self, *, stopping: bool) -> None:
        for child in list(self._running):
            code = child.poll()
            if code is None:
                continue
            task = self._running.pop(child)
            child.close()
            if code == 0:
                try:
                    self._say(f"{task.name}: {self._queue.finish(task)}")
                except ParrotError as error:
                    self._give_up(task, str(error))
            elif not stopping:
                killed = f"killed by signal {-code}"
                self._give_up(task, killed if code < 0 else child.last_words())

    def _give_up(self, task: Task, reason: str) -> None:
        failure = self._queue.fail(task, reason)
        self._say(f"{task.name}: FAILED: {failure.reason}; see {failure.log}")

    def _stop(self) -> None:
        self._say(f"stopping {len(self._running)} processes where they can go on later")
        for child in self._running:
            child.stop()
        patience = time.monotonic() + _GRACE_SECONDS
        while self._running and time.monotonic() < patience:
            self._reap(stopping=True)
            time.sleep(_POLL_SECONDS)

    def _show(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        tasks = [*self._running.values(), *self._queue.waiting]
        now = self._queue.weight_done + sum(self._steps(task) for task in tasks)
        self._bar.set_postfix_str(f"{self._queue.done} of {len(self._queue.runs)} runs", False)
        self._bar.update(now - self._bar.n)

    def _steps(self, task: Task) -> int:
        return 0 if task.run is None else steps_so_far(self._places.run_folder(task.run))


def _silent(_: str) -> None:
    return None
