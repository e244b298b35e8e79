"""Between an observation and an action, for a batch of envs: what all wrappers share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike

from parrot_wrapper.checks import float_array
from parrot_wrapper.errors import InvalidArgumentError, LatentError
from parrot_wrapper.latent import parse_chart
from parrot_wrapper.latent.charts import Chart
from parrot_wrapper.surroundings import quiet_floats, threads_for, torch_threads
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, Observations, OffersCamera
from parrot_wrapper.wrappers.chunk import closed_loop
from parrot_wrapper.wrappers.decoded import Decoded
from parrot_wrapper.wrappers.memory import EpisodeMemory
from parrot_wrapper.wrappers.reader import KeyOptions, copied, rows_of, stacked
from parrot_wrapper.wrappers.spaces import (
    AgentObservation,
    acting_box,
    agent_space,
    agent_view,
    check_agent_observation,
    check_latents,
    check_spaces,
    latent_space,
)
from parrot_wrapper.wrappers.stateful_observations import check_stateful_observations

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TERMINATION_WARNING = (
    "The env ends an episode on success (terminate_on_success=True). SAC's entropy bonus pays for "
    "every step that does not end the episode, up to alpha * Z * log 2, which is easily worth more "
    "than the reward for success: agents learn to avoid succeeding. Prefer "
    "terminate_on_success=False with a time limit, or parrot train --targets kl (charge_kl)."
)

_GOAL = "desired_goal"
"""The key of a goal, in Gymnasium-Robotics and Stable-Baselines3."""


class DriverOptions(KeyOptions, total=False):
    """What may be said to each wrapper of how a prior is read and driven.

    Attributes:
        latent: Chart from u to base noise, or its text.
        observation: What the agent sees.
    """

    latent: str | Chart
    observation: AgentObservation


class Driver:
    """Drives a batch of envs by a prior: translates the agent's u for what each env shows.

    It keeps what is each env's own: the observation to act on, its features, embedded once when
    first needed, and what a prior with memory (`OffersMemory`) remembers of the episode.

    Args:
        env: What is driven: an env, or a vector env.
        prior: Name of a packaged prior, a prior's folder, or a live prior.
        observation_space: The env's, for one env.
        action_space: The env's, for one env.
        latent: Chart from u to base noise, or its text.
        observation: What the agent sees.
        cameras: Camera descriptions of the envs that have one.
        terminates: Whether the env ends an episode on success.
        chunk_horizons: See `check_spaces`.
        **keys: See `KeyOptions`.

    Attributes:
        prior: The frozen prior.
        recorded: Text that a spec can hold for it.
        chart: From u to base noise.
        observation: What the agent sees.
        observation_space: The space of what it sees.
        action_space: The box of u.
        calls: How often envs that step together are stepped for one decision.
    """

    def __init__(
        self,
        env: object,
        prior: str | Path | ActionPrior,
        *,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        latent: str | Chart = "gaussian",
        observation: AgentObservation = "image",
        cameras: Sequence[Mapping[str, Any]] = (),
        terminates: bool = False,
        chunk_horizons: Sequence[int] | None = None,
        **keys: Unpack[KeyOptions],
    ) -> None:
        self.chart = parse_chart(latent)
        self.observation = check_agent_observation(observation)
        self.prior, self.recorded = _resolve_prior(prior)
        # older priors, and those of others, do not say; then they look
        self._looks = self.observation != "image" or getattr(self.prior, "looks", True)
        self._reader = check_spaces(
            observation_space,
            action_space,
            self.prior,
            cameras=cameras,
            chunk_horizons=chunk_horizons,
            looks=self._looks,
            **keys,
        )
        check_stateful_observations(env, reads=self._reader.env_keys, stacklevel=4)
        if terminates:
            warnings.warn(_TERMINATION_WARNING, UserWarning, stacklevel=3)
        self._box = acting_box(action_space, self.prior)
        chunk = (self.prior.horizon,) if self.prior.horizon > 1 else ()
        self._action_shape = (*chunk, self.prior.action_dim)
        self.action_space = latent_space(self.prior)
        self.observation_space = agent_space(
            observation_space, self.prior, self._reader, self.observation
        )
        self._by_step = closed_loop(self.prior)
        self.calls = 1 if self._by_step is None else self.prior.horizon
        self._memory = EpisodeMemory(self.prior)
        self._seen: Observations | None = None
        self._features: FloatArray | None = None

    def __str__(self) -> str:
        """The kind of prior and the chart."""
        return f"{type(self.prior).__name__}, latent={self.chart.spec!r}"

    @property
    def closed_loop(self) -> bool:
        """Whether `decode` makes the first action of a chunk only; `decode_newest` the others."""
        return self._by_step is not None

    def to_execute(self, decoded: Decoded, call: int = 0) -> AnyArray:
        """A copy of the actions (B, A) or chunks (B, H, A) of that step, (B, 1, A) in closed loops.

        Args:
            decoded: Of all envs.
            call: Steps of the envs that are done.
        """
        one = slice(call, call + 1)
        return np.array(decoded.action if self.calls == 1 else decoded.action[:, one])

    def nothing_done(self, envs: int) -> Decoded:
        """What a reset tells: zeros in the shapes and dtypes of what `decode` returns."""
        return Decoded(
            np.zeros((envs, *self._action_shape), self._box.dtype),
            np.zeros((envs, self.prior.latent_dim), np.float32),
            np.zeros(envs, bool),
        )

    def guarded(self, compute_reward: Callable[..., Any]) -> Callable[..., Any]:
        """An env's `compute_reward` that refuses to reward other goals than those acted on.

        Hindsight replay (Andrychowicz et al. 2017) puts another goal into a stored transition and
        asks the env for its reward. What was derived from the old goal stays: with a prior that
        reads it the action, since the same u decodes to another one, and the features; with chunks
        the reward, which is of several steps.
        """
        reasons = []
        if _GOAL in self._reader.env_keys:
            reasons.append(
                f"reads {_GOAL!r}, so that stored latents and features belong to the old goal"
            )
        if self.prior.horizon > 1:
            reasons.append("decodes chunks, whose rewards are sums over several steps")

        def reward(*args: Any, **kwargs: Any) -> Any:
            if not reasons:
                return compute_reward(*args, **kwargs)
            raise InvalidArgumentError(
                "Expected a prior whose transitions stay right when hindsight replay relabels "
                f"their goals, got one that {', and '.join(reasons)}. Use a replay buffer without "
                f"relabelling, or a prior of single actions that does not read {_GOAL!r}."
            )

        return reward

    def read(self, observations: Any) -> Observations:
        """What the prior reads of a batch; of lists where `with_batch_axis` made it."""
        return self._reader(observations)

    @quiet_floats()
    def observe(self, observations: Observations, began: AnyArray | bool = False) -> None:
        """Take a new batch of observations to act on; it is copied.

        Args:
            observations: The batch.
            began: (B,) bool, or one for all: whose first of an episode it is.
        """
        rows = rows_of(observations)
        self._memory.advance(self._features)
        self._memory.begin(rows, began)
        self._seen = copied(self._reader(observations))
        # a prior that does not look takes any features
        self._features = None if self._looks else self._embedded({}, rows)

    def acting(self, action: AnyArray) -> None:
        """Say what is being executed (B, A) where it is not what `decode` made."""
        self.features()  # by which the memory advances
        self._memory.under_way = action

    def _embedded(self, seen: Observations, rows: int, envs: AnyArray | None = None) -> FloatArray:
        """Features of what was read, with what is remembered of these envs."""
        with quiet_floats():
            if not self._looks:
                features = np.zeros((rows, self.prior.feature_dim), np.float32)
            else:
                with torch_threads(threads_for(rows)):
                    features = self.prior.features(seen)
            return self._memory.recall(features, envs)

    def view(self, observations: Any, *, index: int | None = None) -> Any:
        """What the agent sees of the observations just taken.

        Args:
            observations: The batch that `observe` took, or the one of env `index`.
            index: One env of the batch; None for all.
        """
        if self.observation == "image":
            return observations
        features = self.features() if index is None else self.features()[index]
        return agent_view(observations, features, self._reader, self.observation)

    @quiet_floats()
    def views_of_last(self, observations: Sequence[Any], envs: AnyArray) -> list[Any]:
        """What the agent sees of last observations of episodes, each without a batch axis.

        Args:
            observations: The last observations, before `observe` is told of the next ones.
            envs: (len(observations),) int, whose they are.
        """
        if self.observation == "image" or not observations:
            return list(observations)
        self._memory.advance(self._features)
        features = self._embedded(self._reader(stacked(observations)), len(observations), envs)
        return [
            agent_view(own, row, self._reader, self.observation)
            for own, row in zip(observations, features, strict=True)
        ]

    def forget(self) -> None:
        """Drop the observations: the next step needs a reset first."""
        self._seen = self._features = self._memory.under_way = None

    def features(self) -> FloatArray:
        """The prior's features (B, F) of the observations to act on."""
        if self._seen is None:
            raise ResetNeeded(
                "Expected an observation to act on, got none; call reset() before step() and "
                "encode()."
            )
        if self._features is None:
            self._features = self._embedded(self._seen, rows_of(self._seen))
        return self._features

    @quiet_floats()
    def decode(self, u: ArrayLike) -> Decoded:
        """Translate a batch u (B, Z) to actions, or chunks of them, within the env's box."""
        checked = check_latents(u, (len(self.features()), self.prior.latent_dim))
        return self._decoded(self.chart.to_latent(checked))

    @quiet_floats()
    def decode_latent(self, latent: FloatArray) -> Decoded:
        """`decode` of base noise (B, Z) instead of u."""
        return self._decoded(latent)

    def _decoded(self, latent: FloatArray) -> Decoded:
        features = self.features()
        if self._by_step is None:
            with torch_threads(threads_for(len(features))):
                raw = self.prior.decode_features(latent, features)
            action, clipped = self._within_box(raw, latent, self._action_shape)
        else:
            action = np.zeros((len(features), *self._action_shape), self._box.dtype)
            first = self._decode_step(latent, features, 0)
            action[:, 0], clipped = self._within_box(first, latent, self._action_shape[1:])
        self._memory.under_way = action
        return Decoded(action, latent, clipped)

    @quiet_floats()
    def decode_newest(
        self,
        decoded: Decoded,
        step: int,
        observations: Observations,
        going: AnyArray | bool = True,
    ) -> None:
        """Write the next action of a chunk, for the newest observations; for closed loops only.

        Args:
            decoded: What `decode` made; its action `step` is set, and `clipped` brought up to date.
            step: Env steps of the chunk that are done.
            observations: The newest batch.
            going: (B,) bool, or one for all: whose episode is not over.
        """
        newest = self._embedded(self._reader(observations), rows_of(observations))
        raw = self._decode_step(decoded.latent, newest, step)
        action, clipped = self._within_box(raw, decoded.latent, self._action_shape[1:])
        decoded.action[:, step] = action
        decoded.clipped[...] |= clipped & going

    def _decode_step(self, latent: FloatArray, newest: FloatArray, step: int) -> FloatArray:
        assert self._by_step is not None
        with torch_threads(threads_for(len(newest))):
            return self._by_step.decode_step(latent, self.features(), newest, step)

    def _within_box(
        self, raw: FloatArray, latent: FloatArray, shape: tuple[int, ...]
    ) -> tuple[AnyArray, AnyArray]:
        """Actions clipped to the env's box, of its dtype, and (B,) whether any was outside."""
        if raw.shape != (len(latent), *shape):
            raise LatentError(
                f"Expected actions of shape {(len(latent), *shape)} from the prior "
                f"(horizon {self.prior.horizon}), got {raw.shape}."
            )
        if np.isnan(raw).any():
            raise LatentError(
                f"Expected finite actions from the prior, got {raw.tolist()} for the base noise "
                f"{latent.tolist()}; its weights or this observation are broken."
            )
        action = np.clip(raw, self._box.low, self._box.high)
        clipped = (action != raw).any(axis=tuple(range(1, raw.ndim)))
        return action.astype(self._box.dtype), clipped

    @quiet_floats()
    def encode(self, action: ArrayLike) -> FloatArray:
        """Translate actions (B, A), or chunks (B, H, A), to u (B, Z) for the last observations."""
        return self.chart.to_unit(self.encode_latent(action))

    @quiet_floats()
    def encode_latent(self, action: ArrayLike) -> FloatArray:
        """`encode` to base noise (B, Z)."""
        features = self.features()
        array = float_array("actions", action, InvalidArgumentError)
        shape = (len(features), *self._action_shape)
        if array.shape != shape or not np.isfinite(array).all():
            raise InvalidArgumentError(
                f"Expected finite actions of shape {shape}, got shape {array.shape}: {array!r}."
            )
        with torch_threads(threads_for(len(features))):
            return self.prior.encode_features(array, features)


def offered(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """What a driver has to know of one env: spaces and camera."""
    bare = env.unwrapped
    return {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "cameras": [bare.camera_spec()] if isinstance(bare, OffersCamera) else [],
    }


class Driven:
    """What all wrappers tell of their prior."""

    _driver: Driver

    @property
    def prior(self) -> ActionPrior:
        """The frozen prior."""
        return self._driver.prior

    @property
    def chart(self) -> Chart:
        """The map from u to base noise."""
        return self._driver.chart

    @property
    def agent_observation(self) -> AgentObservation:
        """What the agent sees."""
        return self._driver.observation


class DrivenBatch(Driven):
    """The same of wrappers around many envs."""

    def encode(self, actions: ArrayLike) -> FloatArray:
        """The latent actions u (N, Z) that make the prior do `actions` (N, A) at this moment.

        Raises:
            ResetNeeded: The envs were not reset yet.
            InvalidArgumentError: The actions have the wrong shape or are not finite.
        """
        return self._driver.encode(actions)


def _resolve_prior(prior: str | Path | ActionPrior) -> tuple[ActionPrior, str]:
    """Load a prior if it is a name or a folder; also the text that a spec can record for it."""
    if isinstance(prior, ActionPrior):
        return prior, f"<live {type(prior).__name__}>"
    if not isinstance(prior, str | Path):
        raise InvalidArgumentError(
            f"Expected the name of a prior, its folder, or a live prior, got {prior!r}."
        )
    if str(prior).startswith("<live "):
        raise InvalidArgumentError(
            f"Expected the name or folder of a prior, got {str(prior)!r}: this spec was recorded "
            "from a wrapper around a prior in memory. Save it with prior.save(folder) and wrap "
            "with that folder instead."
        )
    from parrot_wrapper.priors.loading import load_prior  # only here: brings torch

    return load_prior(prior), str(prior)
