"""What a prior makes of an env's observations, for agents that do not act through it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.types import ActionPrior, FloatArray, Observations, OffersCamera
from parrot_wrapper.wrappers.reader import with_batch_axis
from parrot_wrapper.wrappers.spaces import check_spaces
from parrot_wrapper.wrappers.stateful_observations import check_stateful_observations


class PriorSight:
    """Reads single observations of one env with a prior's eyes.

    Args:
        env: The bare env.
        prior: The prior.

    Raises:
        SpaceMismatchError: They disagree; the message lists every disagreement.
        InvalidArgumentError: A wrapper normalises observations by running statistics.
    """

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        bare = env.unwrapped
        cameras = [bare.camera_spec()] if isinstance(bare, OffersCamera) else []
        self._read = check_spaces(env.observation_space, env.action_space, prior, cameras=cameras)
        check_stateful_observations(env, reads=self._read.env_keys)
        self._prior = prior

    def batch(self, observation: Any) -> Observations:
        """One observation of the env as a batch of one that the prior reads."""
        return self._read(with_batch_axis(observation))

    def features(self, observation: Any) -> FloatArray:
        """The prior's features of one observation: (1, F) float32."""
        features: FloatArray = self._prior.features(self.batch(observation))
        return features


class PriorFeaturesObservation(gym.ObservationWrapper[FloatArray, Any, Any], RecordConstructorArgs):
    """Show an agent a prior's features and leave it the env's own actions: the fair control.

    Args:
        env: The bare env.
        prior: A live prior.

    Raises:
        SpaceMismatchError: Env and prior disagree; the message lists every disagreement.
    """

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        RecordConstructorArgs.__init__(self, prior=f"<live {type(prior).__name__}>")
        gym.ObservationWrapper.__init__(self, env)
        self._sight = PriorSight(env, prior)
        self.observation_space = spaces.Box(-np.inf, np.inf, (prior.feature_dim,), np.float32)

    def observation(self, observation: Any) -> FloatArray:
        """The features (F,) float32 of one observation."""
        features: FloatArray = self._sight.features(observation)[0]
        return features
