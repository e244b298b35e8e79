"""What a prior makes of an env's observations, for agents that do not act through it."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import ActionPrior, FloatArray, OffersMemory
from parrot_wrapper.wrappers.driver import Driver, offered
from parrot_wrapper.wrappers.reader import with_batch_axis


class PriorFeaturesObservation(gym.Wrapper[FloatArray, Any, Any, Any], RecordConstructorArgs):
    """Show an agent a prior's features and leave it the env's own actions: the fair control.

    Args:
        env: The bare env.
        prior: A live prior.

    Raises:
        SpaceMismatchError: Env and prior disagree; the message lists every disagreement.
        InvalidArgumentError: A wrapper normalises observations by running statistics, or the prior
            is of chunks and remembers them.
    """

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        if isinstance(prior, OffersMemory) and prior.horizon > 1:
            raise InvalidArgumentError(
                f"Expected a prior of single actions, got one that remembers its chunks of "
                f"{prior.horizon}, and raw actions are no such. Act through BehavioralPriorWrapper."
            )
        driver = Driver(env, prior, observation="features", **offered(env))
        RecordConstructorArgs.__init__(self, prior=driver.recorded)
        gym.Wrapper.__init__(self, env)
        self.observation_space = driver.observation_space
        self._driver = driver

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Reset the env; what the prior remembers is set back."""
        self._driver.forget()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._see(observation, began=True), info

    def step(self, action: Any) -> tuple[FloatArray, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the env.

        Raises:
            ResetNeeded: The env was not reset yet.
        """
        self._driver.acting(np.array(action)[None])
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._see(observation), reward, terminated, truncated, info

    def _see(self, observation: Any, *, began: bool = False) -> FloatArray:
        self._driver.observe(with_batch_axis(observation), began)
        seen: FloatArray = self._driver.view(observation, index=0)
        return seen
