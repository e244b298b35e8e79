"""Worker processes seen from the parent: started, asked to stop, killed; never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from parrot_wrapper.experiments.job import Job, to_line

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Child:
    """A worker process with one job.

    Its output is added to a log file. Ctrl-C in the terminal does not reach it, only `stop` does;
    when this process dies, however it dies, so does the child.

    Args:
        job: What it does.
        log: File for its output.
        cores: CPU threads of its numerical libraries, and how many cores it counts for.
    """

    def __init__(self, job: Job, *, log: Path, cores: int) -> None:
        self.log, self.cores = log, cores
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # it finds the modules that this process finds, those beside a script included
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment.update(dict.fromkeys(_THREAD_VARIABLES, str(cores)))
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "parrot_wrapper.experiments.worker"],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._say(to_line(job))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, or None while it works."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to stop at the next moment from which its job can go on later."""
        self._say("stop\n")

    def kill(self) -> None:
        """End it now; return when it is gone."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let go of the pipe of a process that has ended."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                return

    def last_words(self) -> str:
        """The last line of its log that says something."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended; its exit code says how
