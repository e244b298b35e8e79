"""Run a grid: worker processes side by side, resumable, one writer of the results.

Whatever stops it, the same call goes on: runs continue from their checkpoints, and those that have
a row are not done again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception_only
from typing import Any

from tqdm import tqdm

from parrot_wrapper.errors import DataFileError, InvalidArgumentError, ParrotError
from parrot_wrapper.experiments.artifacts import (
    Artifact,
    begin,
    finish,
    place_of,
    working_folder,
)
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.methods import Run
from parrot_wrapper.experiments.plan import Plan, left_row, make_plan, steps_so_far, weight
from parrot_wrapper.experiments.rows import append_row
from parrot_wrapper.experiments.run_worker import make_artifact, train_and_score
from parrot_wrapper.io.executors import Ended, Executor, Task, engine_maker, stopping
from parrot_wrapper.io.interruption import Interruption, deferred_interrupt
from parrot_wrapper.io.locking import folder_lock

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 1.0
"""Between two looks at how far all runs are."""


@dataclass(frozen=True)
class Failure:
    """A process that ended badly.

    Attributes:
        name: Of the run or artifact.
        reason: Why, in a line.
        log: File of its output.
    """

    name: str
    reason: str
    log: Path


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
    address: str = "",
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
        engine: What does the jobs: "local" for processes of this machine, "ray", "slurm", or an
            installed package's by name.
        address: Of the engine's cluster; empty for its own choice.
        device: Torch device of all.
        max_minutes: Stop after so much time; 0 for no limit.
        say: Called with a line at every event.
        progress: Show a bar of env steps.
    """
    if workers < 1 or max_minutes < 0:
        raise InvalidArgumentError(
            f"Expected workers >= 1 and max_minutes >= 0, got {workers} and {max_minutes}."
        )
    make_engine = engine_maker(engine, address)
    chosen = grid.runs() if runs is None else tuple(runs)
    with folder_lock(places.runs), deferred_interrupt() as interruption:
        places.claim(grid)
        queue = _JobQueue(grid, make_plan(grid, chosen, places), places, device=device)
        deadline = time.monotonic() + 60.0 * max_minutes if max_minutes else None
        shift = _Shift(
            queue, places, make_engine(), workers, say or (lambda _: None), progress=progress
        )
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


@dataclass(frozen=True)
class _Job:
    """What one process does: a run, or the making of an artifact.

    Attributes:
        name: Its id.
        needs: Names of artifacts that have to be there first.
        log: File of its output.
        run: The run, if it is one.
        artifact: The artifact otherwise.
    """

    name: str
    needs: tuple[str, ...]
    log: Path
    run: Run | None = None
    artifact: Artifact | None = None

    @property
    def collects(self) -> bool:
        """Whether it collects data, which gains from a second core and not from a GPU."""
        return self.artifact is not None and self.artifact.kind == "data"


class _JobQueue:
    """What is to be done, in order: each artifact just before the first run that needs it.

    Rows of runs that had finished but were not written down are appended here.
    """

    def __init__(self, grid: Grid, plan: Plan, places: Places, *, device: str) -> None:
        self.runs = plan.runs
        self.failures: list[Failure] = []
        self.blocked: list[str] = []
        self.waiting: list[_Job] = []
        self._places, self._device = places, device
        self._artifacts = {artifact.name: artifact for artifact in (*plan.made, *plan.missing)}
        self._missing = {artifact.name for artifact in plan.missing}
        self._left = {run.id: run for run in plan.left}
        for run in plan.runs:
            if run.id not in self._left or self._record(run):
                _remove_replay(places.run_folder(run))
            else:
                self._enqueue(grid, run)

    @property
    def done(self) -> int:
        """Runs with a row."""
        return len(self.runs) - len(self._left)

    @property
    def weight_done(self) -> int:
        """Env steps of runs with a row."""
        return sum(weight(run) for run in self.runs if run.id not in self._left)

    def count_ready(self) -> int:
        """How many jobs could be started now."""
        return sum(self._is_ready(job) for job in self.waiting)

    def take(self) -> _Job:
        """The first job that can be started now; only if there is one."""
        job = next(job for job in self.waiting if self._is_ready(job))
        self.waiting.remove(job)
        return job

    def task(self, job: _Job, *, cores: int) -> Task:
        """What an engine has to be told."""
        root = self._places.artifacts
        function: Callable[..., None]
        arguments: tuple[Any, ...]
        places = {name: place_of(name, self._artifacts, root) for name in job.needs if name}
        if job.artifact is not None:
            begin(job.artifact, root)
            function, folder = make_artifact, working_folder(job.artifact, root)
            arguments = (job.artifact, self._artifacts, root, cores, self._device)
        else:
            assert job.run is not None
            parts = {kind: places[name] for kind, name in job.run.needs.items()}
            folder = self._places.run_folder(job.run)
            function, arguments = train_and_score, (job.run, folder, parts, self._device)
        return Task(
            job.name,
            function,
            arguments,
            log=job.log,
            cores=cores,
            fresh=True,
            reads=tuple(path for path in map(Path, places.values()) if path.exists()),
            writes=(folder,),
            gpu=self._device != "cpu" and not job.collects,
        )

    def finish(self, job: _Job) -> str:
        """Take note of a process that ended well; what is to be said of it."""
        if job.artifact is not None:
            finish(job.artifact, self._places.artifacts)
            self._missing.discard(job.name)
            return "made"
        assert job.run is not None
        if not self._record(job.run):
            raise DataFileError(f"{job.log.parent}: expected the row of {job.name}, found none.")
        _remove_replay(self._places.run_folder(job.run))
        return f"done, {self.done} of {len(self.runs)}"

    def fail(self, job: _Job, reason: str) -> Failure:
        """Take note of a process that ended badly; what needs it is not tried."""
        failure = Failure(job.name, reason, job.log)
        self.failures.append(failure)
        if job.artifact is not None:
            self._block(job.name)
        return failure

    def _record(self, run: Run) -> bool:
        """Append the row that a run's process left, if it did."""
        row = left_row(run, self._places.run_folder(run))
        if row is None:
            return False
        append_row(self._places.results, row)
        del self._left[run.id]
        return True

    def _enqueue(self, grid: Grid, run: Run) -> None:
        known = {job.name for job in self.waiting}
        needs: tuple[str, ...]
        for artifact in grid.artifacts([run]):
            if artifact.name in self._missing and artifact.name not in known:
                needs = (artifact.data, artifact.encoder)
                log = self._places.artifact_log(artifact.name)
                self.waiting.append(_Job(artifact.name, needs, log, artifact=artifact))
        needs = tuple(run.needs.values())
        self.waiting.append(_Job(run.id, needs, self._places.run_log(run), run=run))

    def _is_ready(self, job: _Job) -> bool:
        return self._missing.isdisjoint(job.needs)

    def _block(self, name: str) -> None:
        """Give up all that needs `name`, directly or not."""
        for job in [job for job in self.waiting if name in job.needs]:
            self.waiting.remove(job)
            if job.artifact is not None:
                self._block(job.name)
            else:
                self.blocked.append(job.name)


class _Shift:
    """The jobs of a call that an engine has now, and the bar over all of them."""

    def __init__(
        self,
        queue: _JobQueue,
        places: Places,
        engine: Executor,
        workers: int,
        say: Callable[[str], None],
        *,
        progress: bool,
    ) -> None:
        self._queue, self._places, self._engine = queue, places, engine
        self._workers, self._say = workers, say
        self._running: dict[Task, _Job] = {}
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

    def _launch(self, job: _Job, share: int) -> None:
        try:
            task = self._queue.task(job, cores=max(1, share) if job.collects else 1)
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

    def _give_up(self, job: _Job, error: Exception) -> None:
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

    def _steps(self, job: _Job) -> int:
        return 0 if job.run is None else steps_so_far(self._places.run_folder(job.run))


def _remove_replay(run_folder: Path) -> None:
    """Free the disk of what only an unfinished run needs; its agent stays usable."""
    for path in run_folder.glob("checkpoints/*/replay.safetensors"):
        path.unlink()
    for stray in run_folder.glob("checkpoints/.*.partial"):
        shutil.rmtree(stray, ignore_errors=True)
