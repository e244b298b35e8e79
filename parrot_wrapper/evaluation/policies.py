"""Policies that a prior is judged by, over bare envs, and what a prior makes of observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.checks import float_array
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.types import (
    ActionPrior,
    Expert,
    FloatArray,
    Observations,
    OffersCamera,
    OffersExpert,
)
from parrot_wrapper.wrappers.chunk import require_single_actions
from parrot_wrapper.wrappers.reader import with_batch_axis
from parrot_wrapper.wrappers.spaces import check_spaces
from parrot_wrapper.wrappers.stateful_observations import check_stateful_observations

Predictor = Callable[[FloatArray], FloatArray]
"""A fitted regression: inputs (B, I) to outputs (B, O)."""


class EpisodePolicy(Protocol):
    """A policy that is told where an episode begins."""

    def begin(self, seed: int) -> None:
        """Start an episode whose env was reset with `seed`; all later draws follow from it."""

    def __call__(self, observation: Any) -> FloatArray:
        """The env action (A,) float32 for one observation."""


def action_box(env: gym.Env[Any, Any]) -> spaces.Box:
    """The env's action space.

    Raises:
        InvalidArgumentError: It is no bounded Box.
    """
    space = env.action_space
    if not isinstance(space, spaces.Box) or not space.is_bounded():
        raise InvalidArgumentError(f"Expected a bounded Box action space, got {space}.")
    return space


def _within(box: spaces.Box, action: FloatArray) -> FloatArray:
    clipped: FloatArray = np.clip(action, box.low, box.high).astype(np.float32)
    return clipped


class UniformActions:
    """Uniform actions over the env's box: exploration without a prior."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._box = action_box(env)
        self._rng = np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._rng = np.random.default_rng((seed, 1))

    def __call__(self, observation: Any) -> FloatArray:
        """A draw that ignores the observation."""
        return self._rng.uniform(self._box.low, self._box.high).astype(np.float32)


class _ThroughPrior:
    """What all policies share that act by decoding a latent."""

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        require_single_actions(prior, type(self).__name__)
        self._prior, self._sight, self._box = prior, PriorSight(env, prior), action_box(env)

    def begin(self, seed: int) -> None:
        """Start an episode."""

    def _execute(self, latent: FloatArray, features: FloatArray) -> FloatArray:
        """Decode (1, Z) given (1, F) and clip to the env's box: (A,)."""
        action = self._prior.decode_features(latent.astype(np.float32), features)[0]
        return _within(self._box, action)


class PriorSamples(_ThroughPrior):
    """Samples of a prior: z ~ N(0, I) at every step."""

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        super().__init__(env, prior)
        self._rng = np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._rng = np.random.default_rng((seed, 2))

    def __call__(self, observation: Any) -> FloatArray:
        """A sample given the observation."""
        latent = self._rng.standard_normal((1, self._prior.latent_dim))
        return self._execute(latent.astype(np.float32), self._sight.features(observation))


class ScriptedExpert:
    """The env's own expert.

    Args:
        env: An env that offers one.
        noise: Standard deviation added to its actions.

    Raises:
        InvalidArgumentError: The env offers none.
    """

    def __init__(self, env: gym.Env[Any, Any], *, noise: float = 0.1) -> None:
        bare = env.unwrapped
        if not isinstance(bare, OffersExpert):
            raise InvalidArgumentError(
                f"Expected an env with make_expert(rng, noise), got {type(bare).__name__}."
            )
        self._source, self._noise = bare, noise
        self._expert: Expert | None = None

    def begin(self, seed: int) -> None:
        """Start an episode with a fresh expert."""
        self._expert = self._source.make_expert(np.random.default_rng((seed, 3)), self._noise)

    def __call__(self, observation: Any) -> FloatArray:
        """The expert's action; it reads the simulator, not the observation."""
        if self._expert is None:
            self.begin(0)
        assert self._expert is not None
        return float_array("the expert's action", self._expert.act(), DataError)


class ClippedExpert(_ThroughPrior):
    """The expert seen through the latent: encoded, clipped to |z_i| <= limit, decoded.

    Args:
        env: An env that offers an expert.
        prior: The prior.
        limit: Half-width in standard deviations; infinity only encodes and decodes.
        noise: Standard deviation added to the expert's actions.
    """

    def __init__(
        self, env: gym.Env[Any, Any], prior: ActionPrior, *, limit: float, noise: float = 0.1
    ) -> None:
        super().__init__(env, prior)
        self._expert, self._limit = ScriptedExpert(env, noise=noise), limit

    def begin(self, seed: int) -> None:
        """Start an episode with a fresh expert."""
        self._expert.begin(seed)

    def __call__(self, observation: Any) -> FloatArray:
        """What is left of the expert's action."""
        features = self._sight.features(observation)
        latent = self._prior.encode_features(self._expert(observation)[None], features)
        return self._execute(np.clip(latent, -self._limit, self._limit), features)


class Clone(_ThroughPrior):
    """A fitted regression executed as a policy.

    Args:
        env: The bare env.
        prior: The prior whose features it reads.
        predict: From inputs (1, I) to latents (1, Z), or to actions (1, A) if `raw`.
        state: Where the inputs come from if not from the prior's features: () -> (I,).
        raw: The regression predicts env actions.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        prior: ActionPrior,
        predict: Predictor,
        *,
        state: Callable[[], FloatArray] | None = None,
        raw: bool = False,
    ) -> None:
        super().__init__(env, prior)
        self._predict, self._state, self._raw = predict, state, raw

    def __call__(self, observation: Any) -> FloatArray:
        """The predicted action."""
        features = self._sight.features(observation)
        predicted = self._predict(features if self._state is None else self._state()[None])
        if self._raw:
            return _within(self._box, predicted[0])
        return self._execute(predicted, features)


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
