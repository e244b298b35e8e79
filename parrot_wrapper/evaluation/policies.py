"""Policies that a prior is judged by, over bare envs, and what a prior makes of observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.checks import float_array
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.evaluation.rollouts import MAX_STEPS
from parrot_wrapper.types import ActionPrior, Expert, FloatArray, OffersExpert, OffersMemory
from parrot_wrapper.wrappers.decoded import Decoded
from parrot_wrapper.wrappers.driver import Driver, offered
from parrot_wrapper.wrappers.reader import with_batch_axis

Predictor = Callable[[FloatArray], FloatArray]
"""A fitted regression: inputs (B, I) to outputs (B, O)."""


class EpisodePolicy(Protocol):
    """A policy that is told where an episode begins."""

    def begin(self, seed: int) -> None:
        """Start an episode whose env was reset with `seed`; all later draws follow from it."""

    def __call__(self, observation: Any) -> FloatArray:
        """The env action (A,) float32 for one observation."""


def action_box(env: gym.Env[Any, Any]) -> spaces.Box:
    """The env's action space."""
    space = env.action_space
    if not isinstance(space, spaces.Box) or not space.is_bounded():
        raise InvalidArgumentError(f"Expected a bounded Box action space, got {space}.")
    return space


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
    """What all policies share that act by decoding a latent, single actions and chunks alike."""

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        action_box(env)
        self._driver = Driver(env, prior, **offered(env))
        self._horizon = prior.horizon
        self._steps = 0  # of the episode
        self._decoded: Decoded  # while a latent is under way

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._driver.forget()
        self._steps = 0

    def __call__(self, observation: Any) -> FloatArray:
        """The action (A,) for one observation; a latent is chosen where none is under way."""
        seen, step = with_batch_axis(observation), self._steps % self._horizon
        if step == 0:
            self._driver.observe(seen, began=self._steps == 0)
            self._decoded = self._driver.decode_latent(self._latent().astype(np.float32))
        elif self._driver.closed_loop:
            self._driver.decode_newest(self._decoded, step, seen)
        self._steps += 1
        actions = self._decoded.action[0].reshape(self._horizon, -1)
        chosen: FloatArray = actions[step].astype(np.float32)
        return chosen

    def _latent(self) -> FloatArray:
        """Base noise (1, Z) for what the driver observed."""
        raise NotImplementedError


class PriorSamples(_ThroughPrior):
    """Samples of a prior: z ~ N(0, I) at every step, or of a prior of chunks for every chunk."""

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior) -> None:
        super().__init__(env, prior)
        self._rng = np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Start an episode."""
        super().begin(seed)
        self._rng = np.random.default_rng((seed, 2))

    def _latent(self) -> FloatArray:
        return self._rng.standard_normal((1, self._driver.prior.latent_dim)).astype(np.float32)


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

    With a prior of chunks the expert cannot be asked for the H actions of a chunk at once. Then it
    plays the episode first, alone; the env is reset with the same seed, and what it did is encoded
    chunk by chunk, the last one filled up by repeating its last action.

    Args:
        env: An env that offers an expert; the same seed has to give the same episode.
        prior: The prior.
        limit: Half-width in standard deviations; infinity only encodes and decodes.
        noise: Standard deviation added to the expert's actions.
    """

    def __init__(
        self, env: gym.Env[Any, Any], prior: ActionPrior, *, limit: float, noise: float = 0.1
    ) -> None:
        super().__init__(env, prior)
        self._env, self._expert, self._limit = env, ScriptedExpert(env, noise=noise), limit
        self._played: list[FloatArray] = []

    def begin(self, seed: int) -> None:
        """Start an episode with a fresh expert."""
        super().begin(seed)
        self._expert.begin(seed)
        if self._horizon > 1:
            self._played = self._play()
            self._env.reset(seed=seed)

    def _play(self) -> list[FloatArray]:
        played = []
        for _ in range(MAX_STEPS):
            played.append(self._expert(None))
            *_, terminated, truncated, _ = self._env.step(played[-1].copy())
            if terminated or truncated:
                break
        return played

    def _latent(self) -> FloatArray:
        if self._horizon == 1:
            action = self._expert(None)
        else:
            left = self._played[self._steps : self._steps + self._horizon]
            action = np.stack(left + self._played[-1:] * (self._horizon - len(left)))
        return self._driver.encode_latent(action[None]).clip(-self._limit, self._limit)


class Clone(_ThroughPrior):
    """A fitted regression executed as a policy.

    Args:
        env: The bare env.
        prior: The prior whose features it reads.
        predict: From inputs (1, I) to latents (1, Z).
        state: Where the inputs come from if not from the prior's features: () -> (I,).
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        prior: ActionPrior,
        predict: Predictor,
        *,
        state: Callable[[], FloatArray] | None = None,
    ) -> None:
        super().__init__(env, prior)
        self._predict, self._state = predict, state

    def _latent(self) -> FloatArray:
        own = self._driver.features() if self._state is None else self._state()[None]
        return self._predict(own)


class RawClone:
    """A fitted regression from a prior's features to the env's actions, executed as a policy.

    Args:
        env: The bare env.
        prior: The prior whose features it reads.
        predict: From features (1, F) to actions (1, A).
    """

    def __init__(self, env: gym.Env[Any, Any], prior: ActionPrior, predict: Predictor) -> None:
        self._box, self._predict = action_box(env), predict
        self._driver = Driver(env, prior, observation="features", **offered(env))
        self._began = True
        self._forgets = prior.horizon > 1  # a chunk's memory knows no single actions

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._driver.forget()
        self._began = True

    def __call__(self, observation: Any) -> FloatArray:
        """The predicted action, clipped to the env's box."""
        self._driver.observe(with_batch_axis(observation), self._began or self._forgets)
        self._began = False
        predicted = self._predict(self._driver.features())[0]
        action: FloatArray = np.clip(predicted, self._box.low, self._box.high).astype(np.float32)
        if not self._forgets:
            self._driver.acting(action[None])
        return action


class PriorFeaturesObservation(gym.Wrapper[FloatArray, Any, Any, Any], RecordConstructorArgs):
    """Show an agent a prior's features and leave it the env's own actions: the fair control."""

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
        """Step the env."""
        self._driver.acting(np.array(action)[None])
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._see(observation), reward, terminated, truncated, info

    def _see(self, observation: Any, *, began: bool = False) -> FloatArray:
        self._driver.observe(with_batch_axis(observation), began)
        seen: FloatArray = self._driver.view(observation, index=0)
        return seen
