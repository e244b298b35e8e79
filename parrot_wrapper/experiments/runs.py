"""One cell of a grid: a run, with all that its process has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parrot_wrapper.experiments.methods import Method

RunKey = tuple[str, str, int, int, int | None, tuple[tuple[str, str], ...]]
"""What tells the runs of a grid apart in its result rows."""


@dataclass(frozen=True)
class Run:
    """A run of a grid; plain values, so that another process can be told of it.

    Attributes:
        kind: "rl" for a training with its evaluation, "exploration" for rollouts without RL.
        grid: Name of its grid.
        setting: Setting of its grid.
        task: Env id.
        method: How it acts.
        prior_seed: Seed of what is learned from data.
        rl_seed: Seed of the agent and its episodes.
        needs: Kind of a learned part ("prior", "hirl", ...), or "data", to the name of an artifact
            of the grid, a packaged prior or a folder.
        data: Name of the data that these are learned from, empty where there is no choice.
        data_episodes: How many episodes those are; None where nothing is learned from data.
        labels: Free facts about the run that its row carries.
        env_kwargs: Keywords of `gymnasium.make`.
        preset: Preset of `RLConfig`.
        rl: `RLConfig` settings beside the preset's, those of the method included.
        env_steps: Env steps of training.
        evaluation_episodes: Held-out episodes.
        gym_packages: Modules whose import registers env ids.

    Example:
        >>> Run("rl", "main", "ci", "ParrotGraspCup-v0", Method("parrot"), 0, 2).id
        'ParrotGraspCup-v0/parrot/p0/r2'
    """

    kind: str
    grid: str
    setting: str
    task: str
    method: Method
    prior_seed: int
    rl_seed: int
    needs: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    data_episodes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    preset: str = "features"
    rl: Mapping[str, Any] = field(default_factory=dict)
    env_steps: int = 25_000
    evaluation_episodes: int = 100
    gym_packages: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Stable name; also the run's folder below that of its grid."""
        task = self.task.replace("/", "-").replace(":", "-")
        parts = [task, self.method.name, self.data, f"p{self.prior_seed}", f"r{self.rl_seed}"]
        return "/".join(part for part in parts if part)

    @property
    def key(self) -> RunKey:
        """What its result row is known by."""
        labels = tuple(sorted(self.labels.items()))
        facts = (self.task, self.method.name, self.prior_seed, self.rl_seed)
        return (*facts, self.data_episodes, labels)
