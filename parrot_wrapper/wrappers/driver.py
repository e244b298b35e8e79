"""From the agent's u to actions and back, for a batch of envs: what all wrappers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike

from parrot_wrapper.checks import float_array, number_array
from parrot_wrapper.errors import InvalidArgumentError, LatentError
from parrot_wrapper.latent import parse_chart
from parrot_wrapper.latent.charts import Chart
from parrot_wrapper.surroundings import quiet_floats, threads_for, torch_threads
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, Observations
from parrot_wrapper.wrappers.reader import Keys
from parrot_wrapper.wrappers.spaces import (
    AgentObservation,
    agent_space,
    agent_view,
    check_agent_observation,
    check_spaces,
    latent_space,
)

TERMINATION_WARNING = (
    "The env ends an episode on success (terminate_on_success=True). SAC's entropy bonus pays for "
    "every step that does not end the episode, up to alpha * Z * log 2, which is easily worth more "
    "than the reward for success: agents learn to avoid succeeding. Prefer "
    "terminate_on_success=False with a time limit."
)

_GOAL = "desired_goal"
"""Where a goal env's observation has the goal, in Gymnasium-Robotics and Stable-Baselines3."""

_ROUNDING = 1e-6
"""How far beyond 1 |u| may be: float32 arithmetic, not a mistake."""


class Decoded(NamedTuple):
    """What became of a batch of u.

    Attributes:
        action: (B, A), chunks (B, H, A), clipped to the env's box and of its dtype.
        latent: Base noise z (B, Z) float32.
        clipped: (B,) bool, whether the prior's action, any of a chunk, was outside the box.
    """

    action: AnyArray
    latent: FloatArray
    clipped: AnyArray

    def info(self, index: int) -> dict[str, Any]:
        """The keys that wrappers add to the info of env `index`; arrays are copies.

        What became of a chunk's actions is told by who executed them.
        """
        told = {} if self.action.ndim > 2 else {"parrot/action": self.action[index].copy()}
        return {
            **told,
            "parrot/latent": self.latent[index].copy(),
            "parrot/clipped": bool(self.clipped[index]),
        }

    def infos(self, done: AnyArray) -> dict[str, Any]:
        """The same keys for all envs in Gymnasium's vector format: values, and whose they are.

        Args:
            done: (B,) bool, the envs that executed their action; zeros for the others.
        """
        told: dict[str, Any] = {}
        for name, values in self._asdict().items():
            if values.ndim > 2:  # a chunk's actions, as in `info`
                continue
            mask = done.reshape(-1, *(1,) * (values.ndim - 1))
            told[f"parrot/{name}"] = np.where(mask, values, values.dtype.type(0))
            told[f"_parrot/{name}"] = done.copy()
        return told


class LatentTranslator:
    """Keeps the observations that the agent acts on, and translates its u for them.

    Observations are embedded once, when features are first needed.

    Args:
        prior: Name of a packaged prior, a prior's folder, or a live prior.
        observation_space: The env's, for one env.
        action_space: The env's, for one env.
        latent: Chart from u to base noise, or its text.
        observation: What the agent sees.
        image_key: Where a Dict observation has the image; None for what the prior's metadata say.
        proprio_key: Where it has the proprioception.
        state_key: Where it has the state.
        cameras: Camera descriptions of the envs that have one.
        whole_chunks: Whether the env has to take a prior's chunks (H, A).

    Attributes:
        prior: The frozen prior.
        recorded: Text that a spec can hold for it.
        chart: From u to base noise.
        observation: What the agent sees.
        observation_space: The space of what it sees.
        action_space: The box of u.

    Raises:
        SpaceMismatchError, UnknownNameError, CheckpointError, InvalidArgumentError: See
            `BehavioralPriorWrapper`.
    """

    def __init__(
        self,
        prior: str | Path | ActionPrior,
        *,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        latent: str | Chart,
        observation: AgentObservation,
        image_key: str | None = None,
        proprio_key: Keys = None,
        state_key: Keys = None,
        cameras: Sequence[Mapping[str, Any]],
        whole_chunks: bool = False,
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
            image_key=image_key,
            proprio_key=proprio_key,
            state_key=state_key,
            cameras=cameras,
            whole_chunks=whole_chunks,
            looks=self._looks,
        )
        assert isinstance(action_space, spaces.Box)  # check_spaces saw to it
        self._box = action_space
        chunk = (self.prior.horizon,) if self.prior.horizon > 1 else ()
        self._action_shape = (*chunk, self.prior.action_dim)
        self.action_space = latent_space(self.prior)
        self.observation_space = agent_space(
            observation_space, self.prior, self._reader, self.observation
        )
        self._seen: Observations | None = None
        self._features: FloatArray | None = None

    def __str__(self) -> str:
        """The kind of prior and the chart."""
        return f"{type(self.prior).__name__}, latent={self.chart.spec!r}"

    @property
    def reads(self) -> set[str]:
        """The keys of a Dict observation that the prior reads."""
        return self._reader.env_keys

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

        Raises (when it is called):
            InvalidArgumentError: The prior reads the goal, or decodes chunks.
        """
        reasons = []
        if _GOAL in self.reads:
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

    @quiet_floats()
    def observe(self, observations: Observations) -> None:
        """Take a new batch of observations to act on; it is copied."""
        if self._looks:
            self._seen, self._features = _copied(self._reader(observations)), None
        else:  # the prior takes any features
            self._seen = {}
            self._features = np.zeros((_rows(observations), self.prior.feature_dim), np.float32)

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
    def views_of_last(self, observations: Sequence[Any]) -> list[Any]:
        """What the agent sees of last observations of episodes, each without a batch axis."""
        if self.observation == "image" or not observations:
            return list(observations)
        with torch_threads(threads_for(len(observations))):
            features = self.prior.features(self._reader(_stacked(observations)))
        return [
            agent_view(own, row, self._reader, self.observation)
            for own, row in zip(observations, features, strict=True)
        ]

    def forget(self) -> None:
        """Drop the observations: the next step needs a reset first."""
        self._seen = self._features = None

    @quiet_floats()
    def features(self) -> FloatArray:
        """The prior's features (B, F) of the observations to act on.

        Raises:
            ResetNeeded: There are none yet.
        """
        if self._seen is None:
            raise ResetNeeded(
                "Expected an observation to act on, got none; call reset() before step() and "
                "encode()."
            )
        if self._features is None:
            with torch_threads(threads_for(_rows(self._seen))):
                self._features = self.prior.features(self._seen)
        return self._features

    @quiet_floats()
    def decode(self, u: ArrayLike) -> Decoded:
        """Translate a batch u (B, Z) to actions, or chunks of them, within the env's box.

        Raises:
            ResetNeeded: There is no observation yet.
            LatentError: u has the wrong shape or dtype, is not finite or outside [-1, 1], or the
                prior made no finite action of it, or one of the wrong shape.
        """
        features = self.features()
        latent = self.chart.to_latent(_checked(u, (len(features), self.prior.latent_dim)))
        with torch_threads(threads_for(len(features))):
            raw = self.prior.decode_features(latent, features)
        if raw.shape != (len(features), *self._action_shape):
            raise LatentError(
                f"Expected actions of shape {(len(features), *self._action_shape)} from the prior "
                f"(horizon {self.prior.horizon}), got {raw.shape}."
            )
        if np.isnan(raw).any():
            raise LatentError(
                f"Expected finite actions from the prior, got {raw.tolist()} for the base noise "
                f"{latent.tolist()}; its weights or this observation are broken."
            )
        action = np.clip(raw, self._box.low, self._box.high)
        clipped = (action != raw).any(axis=tuple(range(1, raw.ndim)))
        return Decoded(action.astype(self._box.dtype), latent, clipped)

    @quiet_floats()
    def encode(self, action: ArrayLike) -> FloatArray:
        """Translate actions (B, A), or chunks (B, H, A), to u (B, Z) for the last observations.

        Raises:
            ResetNeeded: There is no observation yet.
            InvalidArgumentError: The actions have the wrong shape or are not finite.
        """
        features = self.features()
        array = float_array("actions", action, InvalidArgumentError)
        shape = (len(features), *self._action_shape)
        if array.shape != shape or not np.isfinite(array).all():
            raise InvalidArgumentError(
                f"Expected finite actions of shape {shape}, got shape {array.shape}: {array!r}."
            )
        with torch_threads(threads_for(len(features))):
            return self.chart.to_unit(self.prior.encode_features(array, features))


def _resolve_prior(prior: str | Path | ActionPrior) -> tuple[ActionPrior, str]:
    """Load a prior if it is a name or a folder; also the text that a spec can record for it.

    Raises:
        InvalidArgumentError: The text was recorded for a prior that lived in memory only, or it is
            no prior at all.
        UnknownNameError: No prior and no folder has such a name.
        CheckpointError: The folder is no whole prior.
    """
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


def with_batch_axis(observation: Any) -> Any:
    """A batch of this one observation, or of the parts of a mapping; the reader checks it."""
    return _stacked([observation])


def _stacked(observations: Sequence[Any]) -> Any:
    """A batch of these observations: lists, since what the prior does not read may be anything."""
    first = observations[0]
    if isinstance(first, Mapping):
        return {key: [own[key] for own in observations] for key in first}
    return list(observations)


def _rows(observations: Any) -> int:
    parts = observations.values() if isinstance(observations, Mapping) else [observations]
    return len(next(iter(parts)))


def _checked(u: ArrayLike, shape: tuple[int, ...]) -> AnyArray:
    array = number_array("latents (dtype float32)", u, LatentError)
    if array.dtype == np.bool_:
        raise LatentError(f"Expected latents in float32, got dtype {array.dtype}.")
    if array.shape != shape:
        raise LatentError(
            f"Expected latents of shape {shape}, (envs, latent dim), got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise LatentError(f"Expected finite latents, got {array.tolist()}.")
    if np.abs(array).max() > 1.0 + _ROUNDING:
        raise LatentError(
            f"Expected latents u within [-1, 1], got {array.tolist()}. Clip them, or if this is "
            "base noise z, map it with chart.to_unit(z) first."
        )
    return array


def _copied(observations: Observations) -> Observations:
    if isinstance(observations, Mapping):
        return {key: part.copy() for key, part in observations.items()}
    copy: AnyArray = observations.copy()
    return copy
