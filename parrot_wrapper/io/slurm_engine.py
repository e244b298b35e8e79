"""Tasks as jobs of Slurm, by way of submitit."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import (
    ClusterError,
    ParrotError,
    ProcessDiedError,
    needed_extra,
)
from parrot_wrapper.io.carried_files import anchors, require_shared
from parrot_wrapper.io.executors import Ended, LocalProcesses, Task
from parrot_wrapper.io.supervised import (
    Outcome,
    before_the_task,
    require_versions,
    supervised,
    versions,
)

with needed_extra("slurm", "The engine slurm needs submitit"):
    import submitit
    from submitit.core.utils import FailedJobError, UncompletedJobError

_LOOK_SECONDS = 1.0
"""Between two looks of a job at its process, and at whether it is to stop."""
_POLL_SECONDS = 0.1
_RULE = "----------------------"
"""Before and behind what Python said, in what submitit tells of a job."""
_RETRIES = 3
"""Of a job that was killed, preempted or out of time."""
_MINUTES = 24 * 60
"""Time limit of a job, where SBATCH_TIMELIMIT says nothing else."""


class SlurmJobs:
    """A job of Slurm for each task; all machines share the disk and the folder worked in.

    Slurm reads partition, account and limits from its variables, such as SBATCH_PARTITION. What
    jobs write to their output lies in a folder `slurm-...` until all has ended well.

    Args:
        address: "local" for jobs of this machine instead, to try it out; empty for Slurm.

    Raises:
        ClusterError: There is no Slurm on this machine, or no such cluster.
    """

    def __init__(self, address: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=Path.cwd()))
        self._stop = self._folder / "stop"
        self._running: dict[Any, tuple[Task, int]] = {}
        self._keep = False
        try:
            self._executor = submitit.AutoExecutor(self._folder, cluster=address or "slurm")
        except (RuntimeError, ValueError) as error:
            shutil.rmtree(self._folder)
            raise ClusterError(
                f"Expected Slurm's sbatch and srun on this machine ({platform.node()}), got: "
                f"{error}. Start from a login node, or give local as address to try it out here."
            ) from error

    def submit(self, task: Task) -> str:
        """Submit a task as a job.

        Raises:
            ClusterError: Slurm does not take it.
        """
        return self._start(task, _RETRIES)

    def _start(self, task: Task, retries: int) -> str:
        self._executor.update_parameters(
            name=task.name, cpus_per_task=max(1, task.cores), timeout_min=_MINUTES
        )
        shared = anchors(path.absolute() for path in (*task.reads, *task.writes))
        try:
            job = self._executor.submit(_do, task, self._stop, shared, versions())
        except FailedJobError as refused:
            told = " ".join(str(refused).split())
            raise ClusterError(
                f"Expected Slurm to take {task.name} as a job, it says: {told}. "
                "Set partition, account and limits by its variables, such as SBATCH_PARTITION."
            ) from refused
        self._running[job] = (task, retries)
        return f"Slurm job {job.job_id}"

    def poll(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call; waits up to `seconds` for the first."""
        patience = time.monotonic() + seconds
        while not (done := [job for job in self._running if _is_done(job)]):
            if time.monotonic() >= patience:
                break
            time.sleep(_POLL_SECONDS)
        return [ended for job in done if (ended := self._ended(job)) is not None]

    def _ended(self, job: Any) -> Ended | None:
        """What became of a job; nothing where another one has taken its place."""
        task, retries = self._running.pop(job)
        try:
            value, error = job.result()
        except FailedJobError as failed:
            where = re.search(r"\bhostname=([^,)]+)", job.stdout() or "")
            node = where[1] if where else f"Slurm job {job.job_id}"
            value, error = None, before_the_task(str(failed).split(_RULE)[1], node)
        except UncompletedJobError as died:
            value, error = None, ProcessDiedError(f"Slurm job {job.job_id}: {died}")
        if isinstance(error, ProcessDiedError) and retries and not self._stop.exists():
            self._start(task, retries - 1)
            return None
        self._keep = self._keep or isinstance(error, ProcessDiedError)
        return Ended(task, value, error)

    def stop(self) -> None:
        """Tell all jobs by a file that they look for."""
        self._stop.touch()

    def close(self) -> None:
        """Cancel all jobs; remove their files unless one died of what only they tell."""
        for job in self._running:
            job.cancel(check=False)
        if not self._keep:
            shutil.rmtree(self._folder, ignore_errors=True)


def _is_done(job: Any) -> bool:
    return bool(job.paths.result_pickle.exists() or job.done())


def _do(task: Task, stop: Path, shared: list[Path], expected: dict[str, str]) -> Outcome:
    """What a job does."""
    try:
        require_versions(expected)
        require_shared(shared, platform.node())
        with closing(LocalProcesses()) as engine:
            return supervised(task, engine, stop.exists, look_every=_LOOK_SECONDS)
    except ParrotError as error:
        return None, error
