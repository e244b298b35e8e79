"""Run a grid: worker processes side by side, resumable, one writer of the results.

Whatever stops it, the same call goes on: runs continue from their checkpoints, and those that have
a row are not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from traceback import format_exception_only
from typing import Any

from tqdm import tqdm

from parrot_wrapper.errors import InvalidArgumentError, ParrotError
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.job_queue import Failure, Job, JobQueue
from parrot_wrapper.experiments.places import Places
from parrot_wrapper.experiments.plan import make_plan, weight
from parrot_wrapper.experiments.run_files import steps_so_far
from parrot_wrapper.experiments.runs import Run
from parrot_wrapper.io.executors import EXECUTORS, Ended, Executor, Task, stopping
from parrot_wrapper.io.interruption import Interruption, deferred_interrupt
from parrot_wrapper.io.locking import folder_lock

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 1.0
"""Between two looks at how far all runs are."""


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
    engine: str = "local",
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
        engine: What does the jobs: "local" for processes of this machine, or an installed
            package's by name.
        device: Torch device of all.
        max_minutes: Stop after so much time; 0 for no limit.
        say: Called with a line at every event.
        progress: Show a bar of env steps.

    Raises:
        InvalidArgumentError: `workers` or `max_minutes` is out of range, or the folders hold a grid
            with other settings.
        UnknownNameError: No such engine; the nearest is named.
        DataFileError: A damaged file, or another process is at work in the folders.
        KeyboardInterrupt: Ctrl-C or SIGTERM, when all has stopped.
    """
    if workers < 1 or max_minutes < 0:
        raise InvalidArgumentError(
            f"Expected workers >= 1 and max_minutes >= 0, got {workers} and {max_minutes}."
        )
    chosen_engine = EXECUTORS.get(engine)
    chosen = grid.runs() if runs is None else tuple(runs)
    with folder_lock(places.runs), deferred_interrupt() as interruption:
        places.claim(grid)
        queue = JobQueue(grid, make_plan(grid, chosen, places), places, device=device)
        deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else None
        shift = _Shift(queue, places, chosen_engine(), workers, say or _silent, progress=progress)
        out_of_time = shift.work(interruption, deadline)
    if interruption.requested:
        raise KeyboardInterrupt
    return Outcome(
        done=queue.done,
        total=len(chosen),
        failures=tuple(queue.failures),
        blocked=tuple(queue.blocked),
        out_of_time=out_of_time,
    )


class _Shift:
    """The jobs of a call that an engine has now, and the bar over all of them."""

    def __init__(
        self,
        queue: JobQueue,
        places: Places,
        engine: Executor,
        workers: int,
        say: Callable[[str], None],
        *,
        progress: bool,
    ) -> None:
        self._queue, self._places, self._engine = queue, places, engine
        self._workers, self._say = workers, say
        self._running: dict[Task, Job] = {}
        self._next_look = 0.0
        self._bar: Any = tqdm(
            total=sum(weight(run) for run in queue.runs),
            initial=queue.weight_done + sum(self._steps(job) for job in queue.waiting),
            desc=places.runs.name,
            unit="step",
            mininterval=1.0,
            smoothing=0.0,
            disable=not progress,
        )

    def work(self, interruption: Interruption, deadline: float | None) -> bool:
        """Work until nothing is left or something ends it; whether that was the time."""
        with closing(self._engine), closing(self._bar):
            while True:
                late = deadline is not None and time.monotonic() >= deadline
                if interruption.requested or late:
                    self._stop()
                    return late and not interruption.requested
                self._start()
                if not self._running:
                    return False
                for ended in self._engine.poll(_POLL_SECONDS):
                    self._note(ended)
                self._show()

    def _start(self) -> None:
        while (free := self._workers - sum(task.cores for task in self._running)) > 0:
            ready = self._queue.count_ready()
            if not ready:
                return
            self._launch(self._queue.take(), free // ready)

    def _launch(self, job: Job, share: int) -> None:
        """Start a job; only a collection of data gains from a second core."""
        collects = job.artifact is not None and job.artifact.kind == "data"
        try:
            task = self._queue.task(job, cores=max(1, share) if collects else 1)
        except ParrotError as error:
            self._give_up(job, error)
            return
        self._running[task] = job
        self._say(f"{job.name}: started, {self._engine.submit(task)}")

    def _note(self, ended: Ended) -> None:
        job = self._running.pop(ended.task)
        try:
            ended.result()
            self._say(f"{job.name}: {self._queue.finish(job)}")
        except Exception as error:
            self._give_up(job, error)

    def _give_up(self, job: Job, error: Exception) -> None:
        known = isinstance(error, ParrotError)
        reason = str(error) if known else "".join(format_exception_only(error)).strip()
        failure = self._queue.fail(job, reason)
        self._say(f"{job.name}: FAILED: {failure.reason}; see {failure.log}")

    def _stop(self) -> None:
        self._say(f"stopping {len(self._running)} processes where they can go on later")
        for ended in stopping(self._engine, self._running):
            if ended.error is None:
                self._note(ended)
            else:
                del self._running[ended.task]

    def _show(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        jobs = [*self._running.values(), *self._queue.waiting]
        now = self._queue.weight_done + sum(self._steps(job) for job in jobs)
        self._bar.set_postfix_str(f"{self._queue.done} of {len(self._queue.runs)} runs", False)
        self._bar.update(now - self._bar.n)

    def _steps(self, job: Job) -> int:
        return 0 if job.run is None else steps_so_far(self._places.run_folder(job.run))


def _silent(_: str) -> None:
    return None
