"""`parrot refit`: a prior that learns from the agents behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from parrot_wrapper.priors.loading import RUN_SUBFOLDER
from parrot_wrapper.rl.refit import RefitJob, refit
from parrot_wrapper.surroundings import use_threads


@dataclass(frozen=True)
class RefitCommand(RefitJob):
    """Refit a prior to successful episodes of agents, mixed with old data; goes on after a kill.

    Attributes:
        steps: Gradient steps; 0 for as many as the kind of prior takes.
        progress: Show progress bars.
    """

    steps: int = 0
    progress: bool = True

    def run(self) -> None:
        """Record, train, and say how good the prior is."""
        use_threads()
        job = RefitJob(**{entry.name: getattr(self, entry.name) for entry in fields(RefitJob)})
        settings = {"steps": self.steps} if self.steps else {}
        report = refit(job, settings, progress=self.progress)
        print(f"{self.out / RUN_SUBFOLDER}: {report}.")
