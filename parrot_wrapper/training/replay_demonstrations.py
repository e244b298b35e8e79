"""Demonstrations into an SB3 replay buffer, as what the agent would have done; and out of one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from parrot_wrapper.charts import EDGE, Chart
from parrot_wrapper.chunk import require_single_actions
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.latent import parse_chart
from parrot_wrapper.spaces import FEATURES_KEY, AgentObservation, check_agent_observation
from parrot_wrapper.translator import resolve_prior
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, Observations

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
) -> FilledBuffer:
    """Put demonstrations into a replay buffer, as transitions of an agent behind the wrapper.

    Each action is encoded by the prior's exact inverse and the chart; observations are what
    `BehavioralPriorWrapper` would have shown. Say `latent`, `observation` and the keys as to it.
    Episodes stay whole and in order; with several envs they are dealt out evenly, and the shorter
    columns go on with episodes from the front.

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

    Raises:
        InvalidArgumentError: The target has no replay buffer or one that relabels goals, the prior
            is of chunks, or the demonstrations do not fit into the buffer.
        SpaceMismatchError: Data, prior and buffer disagree on observations or actions.
        NotOfferedError: The prior has no exact inverse.

    Warns:
        UserWarning: All rewards are 0: the agent would learn that demonstrations are worthless.
    """
    buffer = _buffer_of(target)
    loaded, _ = resolve_prior(prior)
    require_single_actions(loaded, "A replay buffer of demonstrations")
    _check(buffer, dataset, loaded)
    chart = parse_chart(latent)
    keys = {"image": image_key, "proprio": proprio_key, "state": "state"}
    viewer = _Viewer(buffer, dataset, check_agent_observation(observation), keys)
    rewards = _rewards(dataset, final_reward)
    columns = _columns(dataset.lengths, buffer.n_envs)
    rows = len(columns[0])
    if buffer.pos + rows > buffer.buffer_size or buffer.full:
        free = 0 if buffer.full else buffer.buffer_size - buffer.pos
        raise InvalidArgumentError(
            f"Expected room for {rows} transitions of each of {buffer.n_envs} envs, got {free}. "
            "Take a subset of the data, or a larger buffer_size."
        )
    u, z, views = _encoded(dataset, loaded, chart, viewer)
    shift = dataset.observation_rows() - np.arange(dataset.n_steps)
    own_first = np.repeat(np.arange(dataset.n_episodes), dataset.lengths)
    last = np.zeros(dataset.n_steps, bool)
    last[dataset.step_offsets + dataset.lengths - 1] = True
    del shift
    compact = np.arange(dataset.n_steps) + own_first  # each episode has one row more than steps
    for row, steps in enumerate(zip(*columns, strict=True)):
        index = np.asarray(steps)
        done = last[index] | (row == rows - 1)
        cut = done & ~(last[index] & terminal)
        buffer.add(
            _take(views, compact[index]),
            _take(views, compact[index] + 1),
            u[index],
            rewards[index],
            done,
            [{"TimeLimit.truncated": bool(c)} for c in cut],
        )
    return FilledBuffer(
        rows * buffer.n_envs,
        float((np.abs(u) >= EDGE).mean()),
        float(np.abs(z).mean()),
    )
