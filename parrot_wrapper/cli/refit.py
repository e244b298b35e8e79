"""`parrot refit`: a prior that learns from the agents behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from parrot_wrapper.rl.refit_job import RefitJob
from parrot_wrapper.surroundings import DEFAULT_THREADS, use_threads


@dataclass(frozen=True)
class RefitCommand(RefitJob):
    """Refit a prior to successful episodes of agents, mixed with old data; goes on after a kill.

    Attributes:
        steps: Gradient steps; 0 for as many as the kind of prior takes.
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        progress: Show progress bars.
    """

    steps: int = 0
    threads: int = DEFAULT_THREADS
    progress: bool = True

    def run(self) -> None:
        """Record, train, and say how good the prior is."""
        from parrot_wrapper.priors.loading import RUN_SUBFOLDER
        from parrot_wrapper.rl.refit import refit

        use_threads(self.threads)
        job = RefitJob(**{entry.name: getattr(self, entry.name) for entry in fields(RefitJob)})
        settings = {"threads": self.threads, **({"steps": self.steps} if self.steps else {})}
        report = refit(job, settings, progress=self.progress)
        print(f"{self.out / RUN_SUBFOLDER}: {report}.")
