"""Steps to learn from or measure on: recorded from a policy, or taken from a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.policies import EpisodePolicy
from parrot_wrapper.evaluation.rollouts import Rate
from parrot_wrapper.types import (
    ActionPrior,
    AnyArray,
    FloatArray,
    Observations,
    OffersLabels,
    OffersMemory,
)
from parrot_wrapper.wrappers.chunk import chunks_of
from parrot_wrapper.wrappers.driver import Driver, offered
from parrot_wrapper.wrappers.memory import recalled
from parrot_wrapper.wrappers.reader import with_batch_axis

if TYPE_CHECKING:
    from parrot_wrapper.data.dataset import EpisodeDataset


RECORDING_SEED = 2_000_000
"""Recorded episode k is reset with this plus k: apart from held-out evaluation."""


@dataclass(frozen=True)
class Recording:
    """N steps of E episodes, as a prior reads them; the steps of an episode stand together.

    Attributes:
        observations: N observations in the prior's own layout.
        actions: (N, A) float32, as given to the env.
        episodes: (N,) which episode each step belongs to, 0 to E - 1.
        success: (E,) whether each episode ended in success.
        labels: Name to (N, ...) float32 of simulator state; empty where there is none.
        intended: (N, A) float32, what a noiseless expert would have done instead, or None.
    """

    observations: Observations
    actions: FloatArray
    episodes: npt.NDArray[np.int64]
    success: npt.NDArray[np.bool_]
    labels: Mapping[str, FloatArray] = field(default_factory=dict)
    intended: FloatArray | None = None

    def __len__(self) -> int:
        """N, the number of steps."""
        return len(self.actions)

    @property
    def success_rate(self) -> Rate:
        """Share of the episodes that ended in success."""
        return Rate(int(self.success.sum()), len(self.success))

    def take(self, rows: npt.NDArray[Any]) -> Recording:
        """Some of the steps, by index or mask (N,)."""
        observations: Observations = (
            {key: part[rows] for key, part in self.observations.items()}
            if isinstance(self.observations, Mapping)
            else self.observations[rows]
        )
        labels = {key: part[rows] for key, part in self.labels.items()}
        intended = None if self.intended is None else self.intended[rows]
        return Recording(
            observations, self.actions[rows], self.episodes[rows], self.success, labels, intended
        )

    def successful(self) -> Recording:
        """The steps of successful episodes only."""
        if not self.success.any():
            raise DataError(f"None of the {len(self.success)} recorded episodes succeeded.")
        return self.take(self.success[self.episodes])


def record(
    env: gym.Env[Any, Any],
    prior: ActionPrior,
    policy: EpisodePolicy,
    *,
    intention: EpisodePolicy | None = None,
    episodes: int,
    progress: str | None = None,
) -> Recording:
    """Run a policy in the bare env and keep what a prior sees, what is done, and any labels.

    `intention` is asked at every step too, and what it would do is kept but not executed.
    """
    bare = env.unwrapped
    driver = Driver(env, prior, observation="features", **offered(env))
    seen: list[Observations] = []
    actions: list[FloatArray] = []
    intended: list[FloatArray] = []
    owners: list[int] = []
    success: list[bool] = []
    labels: dict[str, list[FloatArray]] = {}
    for index in tqdm(range(episodes), desc=progress, unit="episode", disable=progress is None):
        observation, info = env.reset(seed=RECORDING_SEED + index)
        policy.begin(RECORDING_SEED + index)
        if intention is not None:
            intention.begin(RECORDING_SEED + index)
        over = False
        while not over:
            action = policy(observation)
            seen.append(driver.read(with_batch_axis(observation)))
            actions.append(action)
            if intention is not None:
                intended.append(intention(observation))
            owners.append(index)
            if isinstance(bare, OffersLabels):
                for key, value in bare.privileged_labels().items():
                    labels.setdefault(key, []).append(np.asarray(value, dtype=np.float32))
            observation, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        success.append(bool(info.get("is_success", False)))
    return Recording(
        _concatenate(seen),
        np.stack(actions),
        np.array(owners, dtype=np.int64),
        np.array(success, dtype=np.bool_),
        {key: np.stack(values) for key, values in labels.items()},
        np.stack(intended) if intended else None,
    )


def recording_of(
    dataset: EpisodeDataset, prior: ActionPrior, *, steps: int, rng: np.random.Generator
) -> Recording:
    """At most so many random steps of a data set, of whole episodes where the prior needs them.

    That is where it has chunks or a memory; then it is one episode at least.
    """
    dataset = dataset.seen_by(prior)
    wanted = list(prior.observation_spec.parts)
    missing = [key for key in wanted if key not in dataset.observations]
    if missing:
        raise DataError(
            f"The prior looks at {', '.join(wanted)}; the data set has "
            f"{', '.join(dataset.observations)} and lacks {', '.join(missing)}."
        )
    owners = np.repeat(np.arange(dataset.n_episodes), dataset.lengths)
    if prior.horizon > 1 or isinstance(prior, OffersMemory):
        order = rng.permutation(dataset.n_episodes)
        kept = order[: max(int((np.cumsum(dataset.lengths[order]) <= steps).sum()), 1)]
        chosen = np.flatnonzero(np.isin(owners, kept))
    else:
        chosen = np.sort(rng.permutation(dataset.n_steps)[:steps])
    rows, owners = dataset.observation_rows()[chosen], owners[chosen]
    labels = {key: part[rows] for key, part in dataset.labels.items()}
    success = np.asarray(dataset.success, dtype=np.bool_)
    observations = dataset.observed(wanted, rows)
    return Recording(observations, dataset.actions[chosen], owners, success, labels)


def embed(prior: ActionPrior, recording: Recording) -> FloatArray:
    """The prior's features (N, F) of all recorded observations.

    With what it remembers where its decisions are single actions; else as an episode's first.
    """
    features = prior.features(recording.observations)
    if prior.horizon > 1:
        return features
    return recalled(prior, features, recording.actions, recording.episodes)


@dataclass(frozen=True)
class Decisions:
    """What an agent behind a prior would have decided to do the same as was recorded.

    Attributes:
        at: The M steps of the recording at which a decision is made.
        features: (M, F) of the prior, with what it remembers.
        actions: (M, A) float32, chunks (M, H, A).
    """

    at: Recording
    features: FloatArray
    actions: FloatArray


def decisions(prior: ActionPrior, recording: Recording, *, intended: bool = False) -> Decisions:
    """The decisions behind recorded steps: each, or whole chunks of H from an episode's first on.

    Args:
        prior: The prior.
        recording: Of whole episodes where the prior has chunks or a memory.
        intended: Take what a noiseless expert would have done, where that was recorded.
    """
    wanted = intended and recording.intended is not None
    actions = recording.intended if wanted else recording.actions
    assert actions is not None
    if prior.horizon == 1:
        return Decisions(recording, embed(prior, recording), actions)
    chunks = chunks_of(actions, recording.episodes, prior.horizon)
    rows = chunks.first[chunks.steps == prior.horizon]
    if not len(rows):
        raise DataError(
            f"Expected an episode of at least {prior.horizon} steps, the prior's horizon, got none."
        )
    steps = rows[:, None] + np.arange(prior.horizon)
    at = recording.take(rows)
    features = prior.features(at.observations)
    done = recording.actions[steps]
    return Decisions(at, recalled(prior, features, done, at.episodes), actions[steps])


def _concatenate(batches: list[Observations]) -> Observations:
    arrays: list[AnyArray] = [batch for batch in batches if not isinstance(batch, Mapping)]
    if arrays:
        return np.concatenate(arrays)
    mappings = [batch for batch in batches if isinstance(batch, Mapping)]
    return {key: np.concatenate([batch[key] for batch in mappings]) for key in mappings[0]}


LANDMARKS = "landmarks"
HAND = "gripper"
"""What an arm acts with: its tip first, in metres."""
POSITION = "position"
"""Where the agent is, (2,) or more in the env's own unit; drawn where there is no hand."""
_LEFT_OUT = ("landmark_pixels",)


def state_vectors(labels: Mapping[str, FloatArray]) -> FloatArray:
    """All labels side by side: (N, S) float32 from arrays (N, ...).

    Where the labels have `LANDMARKS` (N, L, 3) and `HAND` (N, 3 or more), the vectors from the
    hand to each landmark stand beside them: what an expert steers by.
    """
    rows = len(next(iter(labels.values())))
    parts = [labels[key].reshape(rows, -1) for key in sorted(labels) if key not in _LEFT_OUT]
    if LANDMARKS in labels and HAND in labels:
        parts.append((labels[LANDMARKS] - labels[HAND][:, None, :3]).reshape(rows, -1))
    return np.concatenate(parts, axis=1).astype(np.float32)
