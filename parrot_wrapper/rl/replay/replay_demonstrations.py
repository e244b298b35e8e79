"""Demonstrations into an SB3 replay buffer, as what an agent behind the wrapper would have done."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.latent import parse_chart
from parrot_wrapper.latent.charts import EDGE, Chart
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.rl.replay.demonstration_replay import holds_demonstrations
from parrot_wrapper.rl.replay.demonstration_view import DemonstrationView
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray
from parrot_wrapper.wrappers.chunk import Chunks, check_discount, chunks_of
from parrot_wrapper.wrappers.spaces import (
    AgentObservation,
    check_agent_observation,
    latent_space,
)

_BATCH = 512


@dataclass(frozen=True)
class FilledBuffer:
    """What went into a replay buffer.

    Attributes:
        transitions: How many, over all envs of the buffer.
        edge_fraction: Share of the entries of u on the chart's edge: actions that the prior finds
            so unlikely that their latents were cut off.
        mean_abs_latent: Mean |z|; 0.80 if the prior fits the data.
    """

    transitions: int
    edge_fraction: float
    mean_abs_latent: float


def fill_replay_buffer(
    target: OffPolicyAlgorithm | ReplayBuffer,
    dataset: EpisodeDataset,
    prior: str | Path | ActionPrior,
    *,
    latent: str | Chart = "gaussian",
    observation: AgentObservation = "image",
    image_key: str = "image",
    proprio_key: str = "proprio",
    final_reward: float | None = None,
    terminal: bool = False,
    gamma: float = 1.0,
) -> FilledBuffer:
    """Put demonstrations into a replay buffer, as transitions of an agent behind the wrapper.

    Each action is encoded by the prior's exact inverse and the chart; observations are what
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
        image_key: Where the agent's Dict observation has the image.
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
        UserWarning: All rewards are 0: the agent would learn that demonstrations are worthless.
    """
    buffer = _buffer_of(target)
    loaded = prior if isinstance(prior, ActionPrior) else load_prior(prior)
    check_discount(gamma)
    chart = parse_chart(latent)
    viewer = DemonstrationView(
        buffer.observation_space,
        dataset,
        loaded,
        check_agent_observation(observation),
        {image_key: "image", proprio_key: "proprio", "state": "state"},
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
