"""What `parrot refit` is to do; without torch, so that its help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parrot_wrapper.checks import as_path, require_count, require_share
from parrot_wrapper.errors import InvalidArgumentError


@dataclass(frozen=True)
class RefitJob:
    """Which prior is refitted to whose episodes.

    Attributes:
        prior: Name or folder of the prior.
        data: Folder of the data that it was trained on, or others like them.
        runs: Folders of runs, such as those of `parrot train`; one a task.
        out: Folder of the refit; the prior goes into its subfolder prior, the episodes that it is
            fitted to into data.
        episodes: Successful episodes to record of each agent, >= 1; it samples its actions.
        share: Of the agents' episodes among all, in (0, 1), where there are enough old ones.
        seed: Attempt k of an agent is reset with `seed + k`; draws the old episodes too.

    Raises:
        InvalidArgumentError: A value is outside its range, or there are no runs.
    """

    prior: str
    data: Path
    runs: tuple[Path, ...]
    out: Path = Path("runs/refit")
    episodes: int = 100
    share: float = 0.5
    seed: int = 3_000_000

    def __post_init__(self) -> None:
        for name in ("data", "out"):
            object.__setattr__(self, name, as_path(name, getattr(self, name)))
        object.__setattr__(self, "runs", tuple(as_path("runs", run) for run in self.runs))
        require_count("episodes", self.episodes)
        require_count("seed", self.seed, least=0)
        require_share("share", self.share)
        if not self.runs:
            raise InvalidArgumentError("Expected folders of runs to refit the prior to, got none.")
