"""Demonstrations into an SB3 replay buffer, as what an agent behind the wrapper would have done."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.latent import parse_chart
from parrot_wrapper.latent.charts import EDGE, Chart
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.rl.replay.buffers import holds_demonstrations
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray
from parrot_wrapper.wrappers.chunk import Chunks, check_discount, chunks_of, closed_loop
from parrot_wrapper.wrappers.memory import recalled
from parrot_wrapper.wrappers.reader import ImageKeys, named_images
from parrot_wrapper.wrappers.spaces import (
    FEATURES_KEY,
    AgentObservation,
    check_agent_observation,
    latent_space,
)

_BATCH = 512
_LARGE_ERROR = 0.01


@dataclass(frozen=True)
class FilledBuffer:
    """What went into a replay buffer.

    Attributes:
        transitions: How many, over all envs of the buffer.
        edge_fraction: Share of the entries of u on the chart's edge: actions that the prior finds
            so unlikely that their latents were cut off.
        mean_abs_latent: Mean |z|; 0.80 if the prior fits the data.
        inversion_error: Mean |a - b|, in half-widths of the action box, where b is what the prior
            makes of the latent of a demonstrated a; 0 up to rounding for a flow.
    """

    transitions: int
    edge_fraction: float
    mean_abs_latent: float
    inversion_error: float = 0.0


def fill_replay_buffer(
    target: OffPolicyAlgorithm | ReplayBuffer,
    dataset: EpisodeDataset,
    prior: str | Path | ActionPrior,
    *,
    latent: str | Chart = "gaussian",
    observation: AgentObservation = "image",
    image_key: ImageKeys = "image",
    proprio_key: str = "proprio",
    final_reward: float | None = None,
    terminal: bool = False,
    gamma: float = 1.0,
) -> FilledBuffer:
    """Put demonstrations into a replay buffer, as transitions of an agent behind the wrapper.

    Each action is encoded by the prior's inverse and the chart; observations are what
    `BehavioralPriorWrapper` would have shown. Say `latent`, `observation`, the keys and `gamma` as
    to it. With a prior of chunks an episode is cut into chunks of H from its first step on; the
    last one, where it is shorter, is filled up by repeating its last action before it is encoded.
    Episodes stay whole and in order; with several envs they are dealt out evenly, and the shorter
    columns go on with episodes from the front. A `DemonstrationReplayBuffer` takes them as its
    `demonstrations`, in place of those it had.

    Args:
        target: A model with a replay buffer (SAC, TD3, ...), or the buffer.
        dataset: The demonstrations.
        prior: Name of a packaged prior, its folder, or a live one.
        latent: Chart from u to base noise.
        observation: What the agent sees: "image" (the env's own observation), "features", "both".
        image_key: Where the agent's Dict observation has the image; of several cameras a mapping
            from the data's names to the observation's keys, where these differ.
        proprio_key: Where it has the proprioception.
        final_reward: Reward of the last step of each successful episode, all others 0, instead of
            the data's own.
        terminal: The last step of an episode ends it for good, so that nothing is expected after
            it. Left out, it counts as cut off by a time limit.
        gamma: Discount of an env step within a chunk, in [0, 1]; of no effect at horizon 1.

    Raises:
        InvalidArgumentError: The target has no replay buffer or one that relabels goals, an
            argument is outside its range, or the demonstrations do not fit into the buffer.
        SpaceMismatchError: Data, prior and buffer disagree on observations or actions.
        NotOfferedError: The prior has no exact inverse.

    Warns:
        UserWarning: All rewards are 0: the agent would learn that demonstrations are worthless; or
            the prior's inverse is not exact, and its latents do something else.
    """
    buffer = _buffer_of(target)
    loaded = prior if isinstance(prior, ActionPrior) else load_prior(prior)
    check_discount(gamma)
    chart = parse_chart(latent)
    viewer = _View(
        buffer.observation_space,
        dataset,
        loaded,
        check_agent_observation(observation),
        {key: name for name, key in named_images(image_key).items()} | {proprio_key: "proprio"},
    )
    _check_actions(buffer, dataset, loaded)
    episodes = np.repeat(np.arange(dataset.n_episodes), dataset.lengths)
    chunks = chunks_of(dataset.actions, episodes, loaded.horizon)
    owners = episodes[chunks.first]
    columns = _columns(np.bincount(owners, minlength=dataset.n_episodes), buffer.n_envs)
    rows = len(columns[0])
    store = buffer.room_for(rows) if holds_demonstrations(buffer) else buffer
    free = 0 if store.full else store.buffer_size - store.pos
    if rows > free:
        raise InvalidArgumentError(
            f"Expected room for {rows} transitions of each of {buffer.n_envs} envs, got {free}. "
            "Take a subset of the data, or a larger buffer_size."
        )
    rewards = _discounted(_rewards(dataset, final_reward), chunks, gamma)
    actions = chunks.actions if loaded.horizon > 1 else chunks.actions[:, 0]
    starts = viewer.rows_of_steps[chunks.first]
    following = starts + chunks.steps
    viewer.embed()
    viewer.recall(starts, actions, owners)
    noise = _encoded(actions, loaded, viewer.features[starts])
    error = _inversion_error(loaded, noise, chunks, viewer.features, starts)
    if error > _LARGE_ERROR:
        warnings.warn(
            f"The prior's inverse is not exact: what it makes of the latents of the demonstrations "
            f"is {error:.2g} half-widths of the action box from them on average, and the buffer "
            "takes the one for the other. A flow has an exact inverse.",
            UserWarning,
            stacklevel=2,
        )
    unit = chart.to_unit(noise)
    ends = np.r_[owners[1:] != owners[:-1], True]
    for row, index in enumerate(np.stack(columns, axis=1)):
        done = ends[index] | (row == rows - 1)
        over = ends[index] & terminal
        store.add(
            viewer(starts[index]),
            viewer(following[index]),
            unit[index],
            rewards[index],
            done,
            [{"TimeLimit.truncated": bool(cut)} for cut in done & ~over],
        )
    if holds_demonstrations(buffer):
        buffer.demonstrations = store  # only now that it is whole
    return FilledBuffer(
        rows * buffer.n_envs,
        edge_fraction=float((np.abs(unit) >= np.float32(EDGE)).mean()),
        mean_abs_latent=float(np.abs(noise).mean()),
        inversion_error=error,
    )


def _buffer_of(target: OffPolicyAlgorithm | ReplayBuffer) -> ReplayBuffer:
    found = target if isinstance(target, ReplayBuffer) else getattr(target, "replay_buffer", None)
    if not isinstance(found, ReplayBuffer):
        raise InvalidArgumentError(
            "Expected a model with a replay buffer (SAC, TD3, DDPG, TQC, ...) or such a buffer, "
            f"got {type(target).__name__}."
        )
    if isinstance(found, HerReplayBuffer):
        raise InvalidArgumentError(
            "Expected a buffer of plain transitions, got a HerReplayBuffer, which relabels goals "
            "that demonstrations do not have."
        )
    return found


def _check_actions(buffer: ReplayBuffer, dataset: EpisodeDataset, prior: ActionPrior) -> None:
    space = buffer.action_space
    unit = latent_space(prior)
    if space != unit:
        raise SpaceMismatchError(
            f"Expected a buffer of latent actions, {unit}, got {space}. Make the model with an env "
            "that BehavioralPriorWrapper wraps."
        )
    if dataset.action_dim != prior.action_dim:
        raise SpaceMismatchError(
            f"Expected demonstrations with {prior.action_dim} action dimensions as the prior has, "
            f"got {dataset.action_dim}."
        )


def _rewards(dataset: EpisodeDataset, final_reward: float | None) -> FloatArray:
    if final_reward is None:
        if not dataset.rewards.any():
            warnings.warn(
                "All rewards of the demonstrations are 0: the agent would learn that they are "
                "worthless. final_reward gives the last step of each success one.",
                UserWarning,
                stacklevel=3,
            )
        return dataset.rewards
    rewards = np.zeros(dataset.n_steps, np.float32)
    rewards[(dataset.step_offsets + dataset.lengths - 1)[dataset.success]] = final_reward
    return rewards


def _discounted(rewards: FloatArray, chunks: Chunks, gamma: float) -> FloatArray:
    """Reward (M,) of each chunk: sum_k gamma^k r_k over the steps that were recorded."""
    last = len(rewards) - 1
    total = np.zeros(len(chunks.first), np.float32)
    for step in range(chunks.actions.shape[1]):
        rows = np.minimum(chunks.first + step, last)
        total += np.where(step < chunks.steps, gamma**step * rewards[rows], 0.0).astype(np.float32)
    return total


def _encoded(actions: AnyArray, prior: ActionPrior, features: FloatArray) -> FloatArray:
    spans = [slice(start, start + _BATCH) for start in range(0, len(actions), _BATCH)]
    return np.concatenate([prior.encode_features(actions[s], features[s]) for s in spans])


def _inversion_error(
    prior: ActionPrior, noise: FloatArray, chunks: Chunks, features: FloatArray, starts: AnyArray
) -> float:
    """See `FilledBuffer`; in closed loops, where what was seen is what is seen."""
    by_step, size = closed_loop(prior), len(chunks.first)
    half = (prior.action_bounds[1] - prior.action_bounds[0]) / 2
    total = 0.0
    for start in range(0, size, _BATCH):
        rows = slice(start, start + _BATCH)
        z, at, wanted = noise[rows], starts[rows], chunks.actions[rows]
        first = features[at]
        if by_step is None:
            again = prior.decode_features(z, first).reshape(wanted.shape)
        else:
            last = chunks.steps[rows] - 1
            steps = [
                by_step.decode_step(z, first, features[at + np.minimum(step, last)], step)
                for step in range(prior.horizon)
            ]
            again = np.stack(steps, axis=1)
        done = np.arange(prior.horizon) < chunks.steps[rows, None]
        total += float(np.abs((again - wanted) / half)[done].sum())
    return total / max(int(chunks.steps.sum()) * prior.action_dim, 1)


def _columns(counts: AnyArray, n_envs: int) -> list[AnyArray]:
    """Transitions for each env, equally many: whole episodes in order, to whoever has the fewest.

    Args:
        counts: (E,) transitions of each episode.
        n_envs: Envs of the buffer.
    """
    dealt: list[list[AnyArray]] = [[] for _ in range(n_envs)]
    totals = np.zeros(n_envs, np.int64)
    offsets = np.cumsum(counts) - counts

    def deal(env: int, episode: int) -> None:
        dealt[env].append(offsets[episode] + np.arange(counts[episode]))
        totals[env] += counts[episode]

    for episode in range(len(counts)):
        deal(int(totals.argmin()), episode)
    rows = int(totals.max())
    for env in range(n_envs):
        episode = 0
        while totals[env] < rows:
            deal(env, episode % len(counts))
            episode += 1
    return [np.concatenate(steps)[:rows] for steps in dealt]


class _View:
    """Shows rows of the demonstrations as the buffer wants to see observations.

    `rows_of_steps` (N,) has the row of each step's observation, the next one is that of the next;
    `features` (N + n, F) those of every row, once `embed` was called.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        dataset: EpisodeDataset,
        prior: ActionPrior,
        observation: AgentObservation,
        keys: Mapping[str, str],
    ) -> None:
        self._dataset = dataset
        self._prior = prior
        episodes = np.repeat(np.arange(dataset.n_episodes), dataset.lengths)
        self.rows_of_steps = np.arange(dataset.n_steps) + episodes
        self._stored_rows = dataset.observation_rows(lasts=True)
        self.features: FloatArray = np.empty((0, prior.feature_dim), np.float32)
        self._dict = isinstance(space, spaces.Dict)
        offered = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        self._sources: dict[str, str] = {}
        self._transposed: set[str] = set()
        problems = []
        for key, part in offered.items():
            name = self._source(key, observation, keys)
            self._sources[key] = name
            problems += self._disagreements(key, part, name)
        if (FEATURES_KEY in self._sources.values()) != (observation != "image"):
            problems.append(f"observation={observation!r} does not go with {space}")
        if problems:
            raise SpaceMismatchError(
                "The demonstrations do not fit the replay buffer:\n"
                + "\n".join(f"  - {problem}" for problem in problems)
                + "\nSay observation, image_key and proprio_key as to the wrapper."
            )

    def _source(self, key: str, observation: AgentObservation, keys: Mapping[str, str]) -> str:
        if observation == "features" or (key == FEATURES_KEY and observation == "both"):
            return FEATURES_KEY
        if key:
            return keys.get(key, key)
        return "image" if "image" in self._dataset.observations else "state"

    def _disagreements(self, key: str, part: spaces.Space[Any], name: str) -> list[str]:
        where = f"observation[{key!r}]" if key else "observation"
        if name == FEATURES_KEY:
            shape: tuple[int, ...] = (self._prior.feature_dim,)
        elif name in self._dataset.observations:
            shape = self._dataset.observations[name].shape[1:]
        else:
            has = ", ".join(self._dataset.observations)
            return [f"{where}: expected {name!r} in the data, which have {has}"]
        is_image = name in self._dataset.observation_spec.images
        if is_image and part.shape == (shape[-1], *shape[:-1]) != shape:
            self._transposed.add(key)
        elif part.shape != shape:
            return [f"{where}: the buffer takes {part.shape}, the demonstrations have {shape}"]
        if is_image != (part.dtype == np.uint8):
            return [f"{where}: the buffer takes {part.dtype}, not what {name!r} is in the data"]
        return []

    def embed(self) -> None:
        """Compute the features of all rows, in batches."""
        parts, seen = list(self._prior.observation_spec.parts), self._dataset.seen_by(self._prior)
        missing = [name for name in parts if name not in seen.observations]
        if missing:
            raise SpaceMismatchError(
                f"Expected {', '.join(missing)} in the data, at which the prior looks, got "
                f"{', '.join(seen.observations)}."
            )
        batches = []
        for start in range(0, len(self._stored_rows), _BATCH):
            rows = self._stored_rows[start : start + _BATCH]
            batches.append(self._prior.features(seen.observed(parts, rows)))
        self.features = np.concatenate(batches)

    def recall(self, rows: AnyArray, actions: AnyArray, episodes: AnyArray) -> None:
        """Make the features of decisions, and of the last observations, those of a prior's memory.

        Args:
            rows: (M,) of the decisions, in order.
            actions: (M, A) of the decisions, chunks (M, H, A).
            episodes: (M,) whose they are.
        """
        lasts = np.flatnonzero(np.r_[episodes[1:] != episodes[:-1], True]) + 1
        every = np.insert(rows, lasts, np.cumsum(self._dataset.lengths + 1) - 1)
        after = np.insert(actions, lasts, 0, axis=0)  # nothing is done at the last ones
        owners = np.insert(episodes, lasts, episodes[lasts - 1])
        self.features[every] = recalled(self._prior, self.features[every], after, owners)

    def __call__(self, rows: AnyArray) -> Any:
        """What the agent sees in these rows, one for each env."""
        parts = {key: self._part(key, name, rows) for key, name in self._sources.items()}
        return parts if self._dict else parts[""]

    def _part(self, key: str, name: str, rows: AnyArray) -> AnyArray:
        if name == FEATURES_KEY:
            features: AnyArray = self.features[rows]
            return features
        array = self._dataset.observations[name][self._stored_rows[rows]]
        return np.moveaxis(array, -1, 1) if key in self._transposed else array
