"""The filled part of an SB3 replay buffer as plain arrays, and its memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer

from parrot_wrapper.types import AnyArray

_FIELDS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def replay_arrays(buffer: ReplayBuffer) -> dict[str, AnyArray]:
    """Transitions of `buffer`, oldest first, as arrays (N, envs, ...) by name.

    Parts of Dict observations are named "observations/image" and so on.
    """
    if not buffer.full:
        return {name: array[: buffer.pos].copy() for name, array in _arrays(buffer)}
    return {name: np.roll(array, -buffer.pos, axis=0) for name, array in _arrays(buffer)}


def restore_replay(buffer: ReplayBuffer, stored: Mapping[str, AnyArray]) -> None:
    """Fill `buffer` with what `replay_arrays` returned; one larger than the stored is fine.

    Raises:
        ValueError: The arrays have other shapes than the buffer, or do not fit into it.
        KeyError: An array is missing.
    """
    count = len(stored["rewards"])
    if count > buffer.buffer_size:
        raise ValueError(f"{count} transitions stored, room for {buffer.buffer_size}")
    buffer.reset()
    for name, array in _arrays(buffer):
        if stored[name].shape[1:] != array.shape[1:]:
            raise ValueError(
                f"{name}: expected shape {array.shape[1:]}, found {stored[name].shape[1:]}"
            )
        array[:count] = stored[name]
    buffer.full = count == buffer.buffer_size
    buffer.pos = count % buffer.buffer_size


def replay_bytes(
    observation_space: spaces.Space[Any], action_space: spaces.Box, transitions: int
) -> int:
    """Memory in bytes that SB3 allocates for so many transitions of these spaces.

    Example:
        >>> images = spaces.Box(0, 255, (48, 48, 3), np.uint8)
        >>> replay_bytes(images, spaces.Box(-1, 1, (7,)), 100_000) / 1e9
        1.3864
    """
    parts = (
        observation_space.spaces.values()
        if isinstance(observation_space, spaces.Dict)
        else (observation_space,)
    )
    observation = sum(
        math.prod(part.shape or ()) * np.dtype(part.dtype or np.float32).itemsize for part in parts
    )
    return transitions * (2 * observation + 4 * math.prod(action_space.shape) + 12)


def _arrays(buffer: ReplayBuffer) -> Iterator[tuple[str, AnyArray]]:
    for name in _FIELDS:
        value: Any = getattr(buffer, name)
        if isinstance(value, Mapping):
            for key, array in value.items():
                yield f"{name}/{key}", array
        else:
            yield name, value
