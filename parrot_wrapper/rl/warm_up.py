"""SB3 callbacks that decide when an RL run's first update comes."""

from __future__ import annotations

import sys
from typing import cast

import numpy as np
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from parrot_wrapper.rl.replay.rewarded_replay import count_rewarded_episodes


class FirstUpdateCallback(BaseCallback):
    """Hold SAC's updates back for the first steps while its own actor acts.

    SB3 acts uniformly until its updates begin, which would waste an actor that was cloned before.
    SAC's `learning_starts` has to be 0.

    Args:
        after: Env steps before the first update.
    """

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self._after, self._updates = after, 0

    def _on_training_start(self) -> None:
        self._updates = cast("SAC", self.model).gradient_steps

    def _on_step(self) -> bool:
        ready = self.num_timesteps > self._after
        cast("SAC", self.model).gradient_steps = self._updates if ready else 0
        return True

    def _on_training_end(self) -> None:
        cast("SAC", self.model).gradient_steps = self._updates


class FirstRewardsCallback(BaseCallback):
    """Let the warm-up go on until there is something to learn.

    Before the first reward SAC's critic is noise, and a KL budget is spent on following it away
    from the prior. Uniform actions behind the Gaussian chart are samples of the prior itself.

    Args:
        episodes: Episodes that had a reward, before the first update.
    """

    def __init__(self, *, episodes: int) -> None:
        super().__init__()
        self._episodes, self._learning_starts = episodes, 0
        self._waits = True

    def _on_training_start(self) -> None:
        model = cast("SAC", self.model)
        self._learning_starts = model.learning_starts
        self._wait_or_go()

    def _on_rollout_start(self) -> None:
        if self._waits and np.any(self.locals.get("dones", False)):
            self._wait_or_go()

    def _wait_or_go(self) -> None:
        model = cast("SAC", self.model)
        assert model.replay_buffer is not None  # learn() set it up
        self._waits = count_rewarded_episodes(model.replay_buffer) < self._episodes
        model.learning_starts = sys.maxsize if self._waits else self._learning_starts

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        cast("SAC", self.model).learning_starts = self._learning_starts
