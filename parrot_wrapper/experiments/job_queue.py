"""The jobs of a call of `run_grid`: which is next, what becomes of it, what it means for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import DataFileError
from parrot_wrapper.experiments.artifacts import begin, command, finish, place_of
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.needs import Artifact
from parrot_wrapper.experiments.places import Places
from parrot_wrapper.experiments.plan import Plan, left_row, weight
from parrot_wrapper.experiments.rows import append_row
from parrot_wrapper.experiments.run_files import remove_replay
from parrot_wrapper.experiments.run_worker import run_command, train_and_score
from parrot_wrapper.experiments.runs import Run
from parrot_wrapper.io.executors import Task


@dataclass(frozen=True)
class Job:
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


class JobQueue:
    """What is to be done, in order: each artifact just before the first run that needs it.

    Rows of runs that had finished but were not written down are appended here.

    Args:
        grid: The grid.
        plan: What is left of it.
        places: Its folders.
        device: Torch device of all jobs.
    """

    def __init__(self, grid: Grid, plan: Plan, places: Places, *, device: str) -> None:
        self.runs = plan.runs
        self.failures: list[Failure] = []
        self.blocked: list[str] = []
        self.waiting: list[Job] = []
        self._places, self._device = places, device
        self._artifacts = {artifact.name: artifact for artifact in (*plan.made, *plan.missing)}
        self._missing = {artifact.name for artifact in plan.missing}
        self._left = {run.id: run for run in plan.left}
        for run in plan.runs:
            if run.id not in self._left or self._record(run):
                remove_replay(places.run_folder(run))
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

    def take(self) -> Job:
        """The first job that can be started now; only if there is one."""
        job = next(job for job in self.waiting if self._is_ready(job))
        self.waiting.remove(job)
        return job

    def task(self, job: Job, *, cores: int) -> Task:
        """What an engine has to be told.

        Raises:
            InvalidArgumentError: Something made in another way was begun in the artifact's folder.
        """
        root = self._places.artifacts
        function: Callable[..., None]
        arguments: tuple[Any, ...]
        if job.artifact is not None:
            begin(job.artifact, root)
            words = command(job.artifact, self._artifacts, root, cores=cores, device=self._device)
            function, arguments = run_command, (words,)
        else:
            assert job.run is not None
            parts = {
                kind: place_of(name, self._artifacts, root) for kind, name in job.run.needs.items()
            }
            folder = self._places.run_folder(job.run)
            function, arguments = train_and_score, (job.run, folder, parts, self._device)
        return Task(job.name, function, arguments, log=job.log, cores=cores, fresh=True)

    def finish(self, job: Job) -> str:
        """Take note of a process that ended well; what is to be said of it.

        Raises:
            DataFileError: A run's process left no row, or a damaged one.
        """
        if job.artifact is not None:
            finish(job.artifact, self._places.artifacts)
            self._missing.discard(job.name)
            return "made"
        assert job.run is not None
        if not self._record(job.run):
            raise DataFileError(f"{job.log.parent}: expected the row of {job.name}, found none.")
        remove_replay(self._places.run_folder(job.run))
        return f"done, {self.done} of {len(self.runs)}"

    def fail(self, job: Job, reason: str) -> Failure:
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
                self.waiting.append(Job(artifact.name, needs, log, artifact=artifact))
        needs = tuple(run.needs.values())
        self.waiting.append(Job(run.id, needs, self._places.run_log(run), run=run))

    def _is_ready(self, job: Job) -> bool:
        return self._missing.isdisjoint(job.needs)

    def _block(self, name: str) -> None:
        """Give up all that needs `name`, directly or not."""
        for job in [job for job in self.waiting if name in job.needs]:
            self.waiting.remove(job)
            if job.artifact is not None:
                self._block(job.name)
            else:
                self.blocked.append(job.name)
