"""The small env wrappers that an RL run stacks around an env."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class SeededEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Reset episode k of a run with a seed that depends on the run's seed and k only.

    So a resumed run meets the very episodes that an unbroken one would have met, without any state
    of the env's generators on disk, and training shares no episode with evaluation or data: all
    seeds are at least 2**31. A seed given to `reset` is ignored (SB3 passes one of its own).

    Args:
        env: The env.
        seed: The run's seed.
        first_episode: Index of the episode that the first reset starts.

    Attributes:
        episode: Index of the current episode; -1 before the first reset of a new run.
    """

    def __init__(self, env: gym.Env[Any, Any], *, seed: int, first_episode: int = 0) -> None:
        super().__init__(env)
        self._run_seed = seed
        self.episode = first_episode - 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode."""
        self.episode += 1
        sequence = np.random.SeedSequence((self._run_seed, self.episode))
        own_seed = int(sequence.generate_state(1)[0]) | 2**31
        return self.env.reset(seed=own_seed, options=options)
