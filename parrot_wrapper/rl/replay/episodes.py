"""The episodes in an SB3 replay buffer as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.exchange.choosing import ImportOptions
from parrot_wrapper.data.exchange.source import Choice, Part, RawEpisode, Source
from parrot_wrapper.data.exchange.writing import load_source
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.types import AnyArray, FloatArray


def dataset_from_replay_buffer(
    buffer: ReplayBuffer, options: ImportOptions | None = None
) -> EpisodeDataset:
    """Make a data set of the finished episodes in a live replay buffer.

    SB3 stores actions scaled to -1 ... 1; they come back in the units of the buffer's action
    space. An episode whose beginning was overwritten already starts where the buffer does; the one
    under way at the end of each env is left out. A buffer knows nothing of success:
    `ImportOptions.success_reward` judges by the last reward.

    A buffer's file is a pickle, which this package never opens: where you trust it, load it with
    `model.load_replay_buffer(path)` and pass `model.replay_buffer`.

    Args:
        buffer: A `ReplayBuffer` or `DictReplayBuffer`, not that of an agent behind a prior, whose
            actions are latents.
        options: What to take of it; see `ImportOptions`.

    Raises:
        InvalidArgumentError: It is no such buffer.
        DataError: It has no finished episode, or nothing usable.

    Warns:
        UserWarning: Action dimensions that never change.
    """
    if not isinstance(buffer, ReplayBuffer) or not isinstance(buffer.action_space, spaces.Box):
        raise InvalidArgumentError(
            "Expected a live ReplayBuffer or DictReplayBuffer of box actions, got "
            f"{buffer if isinstance(buffer, str) else type(buffer).__name__}. A saved one is a "
            "pickle: load it with model.load_replay_buffer(path) where you trust it."
        )
    before = _parts(buffer.observations)
    box = (buffer.action_space.low, buffer.action_space.high)
    spans = [(env, *span) for env in range(buffer.n_envs) for span in _episodes(buffer, env)]
    if not spans:
        raise DataError("Expected a replay buffer with a finished episode, got none.")

    def read(choice: Choice) -> Iterator[RawEpisode]:
        following = {} if buffer.optimize_memory_usage else _parts(buffer.next_observations)
        for env, start, stop in spans:
            rows = _rows(buffer)[start:stop]
            observations: dict[str, AnyArray] = {}
            for key in choice.keys:
                seen = before[key][rows, env]
                last = [following[key][rows[-1:], env]] if following else []
                observations[key] = np.concatenate([seen, *last])
            yield RawEpisode(
                f"replay buffer: env {env}, episode of {stop - start} steps from row {rows[0]}",
                observations,
                _unscaled(buffer.actions[rows, env], *box),
                buffer.rewards[rows, env],
            )

    finite = all(np.isfinite(edge).all() for edge in box)
    parts = {key: Part(array.shape[2:], array.dtype) for key, array in before.items()}
    fields = {"actions": Part(box[0].shape, box[0].dtype), "rewards": Part((), np.dtype("f4"))}
    source = Source(
        "replay buffer", parts, fields, len(spans), read, (box[0], box[1]) if finite else None
    )
    return load_source(source, options or ImportOptions())


def _parts(observations: Any) -> Mapping[str, AnyArray]:
    if isinstance(observations, Mapping):
        return observations
    image = observations.dtype == np.uint8 and observations.ndim == 5
    return {"image" if image else "state": observations}


def _rows(buffer: ReplayBuffer) -> AnyArray:
    """Rows that hold transitions, oldest first."""
    if not buffer.full:
        return np.arange(buffer.pos)
    rows = np.roll(np.arange(buffer.buffer_size), -buffer.pos)
    # there the newest next observation has taken the place of the oldest observation
    return rows[1:] if buffer.optimize_memory_usage else rows


def _episodes(buffer: ReplayBuffer, env: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of each finished episode, as positions in `_rows`."""
    start = 0
    for end in np.flatnonzero(buffer.dones[_rows(buffer), env]):
        yield start, int(end) + 1
        start = int(end) + 1


def _unscaled(actions: AnyArray, low: FloatArray, high: FloatArray) -> AnyArray:
    # clipped, since rounding may lead out of the box
    return np.clip(low + 0.5 * (actions + 1.0) * (high - low), low, high)
