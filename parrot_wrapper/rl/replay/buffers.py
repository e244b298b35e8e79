"""Replay buffers with demonstrations or rewarded episodes in each batch, and their arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from parrot_wrapper.checks import require_share
from parrot_wrapper.errors import DataError, InvalidArgumentError, needed_extra
from parrot_wrapper.types import AnyArray

with needed_extra("sb3", "Replay buffers need Stable-Baselines3"):
    from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

_FIELDS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class _Sharing(ReplayBuffer):
    """Draws a share of each batch from elsewhere."""

    def __init__(self, *args: Any, share: float = 0.5, **kwargs: Any) -> None:
        require_share("share", share)
        if "n_steps" in kwargs:
            raise InvalidArgumentError(
                "Expected no n_steps, since this buffer draws transitions of one step, got "
                f"{kwargs['n_steps']!r}. n-step returns need Stable-Baselines3's "
                "NStepReplayBuffer."
            )
        super().__init__(*args, **kwargs)
        self._share = share

    def _require_transitions(self) -> None:
        if not self.size():  # before NumPy fails at it
            raise DataError(
                f"Expected a {type(self).__name__} with transitions to draw a batch from, got an "
                "empty one. Let the agent act first, or fill it with fill_replay_buffer."
            )


class _SamplingDemonstrations(_Sharing):
    """Draws a share of each batch from a second buffer, of demonstrations."""

    demonstrations: ReplayBuffer | None = None

    def room_for(self, transitions: int) -> ReplayBuffer:
        """An empty buffer of the same spaces, for so many transitions of each env."""
        kind: Any = DictReplayBuffer if isinstance(self, DictReplayBuffer) else ReplayBuffer
        size, spaces_of_all = transitions * self.n_envs, (self.observation_space, self.action_space)
        empty: ReplayBuffer = kind(size, *spaces_of_all, self.device, n_envs=self.n_envs)
        return empty

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Draw a batch, `share` of it from demonstrations; all from the half that is filled."""
        if self.demonstrations is None or not self.demonstrations.size():
            self._require_transitions()
            return super().sample(batch_size, env=env)
        if not self.size():
            return self.demonstrations.sample(batch_size, env=env)
        count = round(self._share * batch_size)
        shown = self.demonstrations.sample(count, env=env)
        own = super().sample(batch_size - count, env=env)
        return type(own)(*map(_joined, shown, own))


def _joined(shown: Any, own: Any) -> Any:
    if isinstance(own, dict):
        return {key: _joined(shown[key], part) for key, part in own.items()}
    return torch.cat([shown, own]) if isinstance(own, Tensor) else own


class DemonstrationReplayBuffer(_SamplingDemonstrations):
    """A replay buffer with demonstrations: `share` of each batch is from them, as long as it lasts.

    In SB3's own buffer demonstrations are a vanishing part of the batches, and are overwritten in
    the end. Here they stand in a buffer of their own, `demonstrations`, which `fill_replay_buffer`
    fills; before that it is SB3's own. Before the agent has acted all of a batch is demonstrations;
    `reset` leaves them where they are. Half and half is symmetric sampling of Ball et al. (2023),
    *Efficient Online Reinforcement Learning with Offline Data* (RLPD).

    Args:
        *args: Those of SB3's `ReplayBuffer`.
        share: Share of a batch from demonstrations, in (0, 1).
        **kwargs: Those of SB3's `ReplayBuffer`.

    Raises:
        InvalidArgumentError: The share is outside its range, or `n_steps` is given.

    Example:
        >>> from stable_baselines3 import SAC
        >>> model = SAC("MlpPolicy", "Pendulum-v1", buffer_size=1_000,
        ...             replay_buffer_class=DemonstrationReplayBuffer,
        ...             replay_buffer_kwargs={"share": 0.25})
        >>> model.replay_buffer.demonstrations is None  # until fill_replay_buffer(model, ...)
        True
    """


class DemonstrationDictReplayBuffer(_SamplingDemonstrations, DictReplayBuffer):
    """`DemonstrationReplayBuffer` for Dict observations."""


def holds_demonstrations(buffer: ReplayBuffer) -> TypeGuard[_SamplingDemonstrations]:
    """Whether it is one of these two."""
    return isinstance(buffer, _SamplingDemonstrations)


class _RewardedSampling(_Sharing):
    """Draws a share of each batch from episodes that had a reward."""

    _rewarded: NDArray[np.intp] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.optimize_memory_usage:
            raise InvalidArgumentError("Expected optimize_memory_usage=False, got True.")

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Store a transition of each env."""
        written = self.pos
        super().add(*args, **kwargs)
        if self.dones[written].any() or not self.pos:
            self._rewarded = None  # to be found anew

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self._rewarded = None

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Draw a batch, `share` of it from rewarded episodes where there are any."""
        self._require_transitions()
        slots = np.random.randint(0, self.size(), size=batch_size)
        if self._rewarded is None:
            self._rewarded = self._find_rewarded()
        if len(self._rewarded):
            count = round(self._share * batch_size)
            slots[:count] = np.random.choice(self._rewarded, size=count)
        return self._get_samples(slots, env=env)

    def _find_rewarded(self) -> NDArray[np.intp]:
        """Slots of episodes with a reward above 0; those of any env, where there are several."""
        found = np.zeros(self.size(), bool)
        for env in range(self.n_envs):
            slots, episodes, rewarded = _episodes(self, env)
            found[slots] |= rewarded[episodes]
        return np.flatnonzero(found)


def count_rewarded_episodes(buffer: ReplayBuffer) -> int:
    """How many episodes in a buffer had a reward above 0, one that is not over yet included."""
    if not buffer.size():
        return 0
    return sum(int(_episodes(buffer, env)[2].sum()) for env in range(buffer.n_envs))


def _episodes(
    buffer: ReplayBuffer, env: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """One env's filled slots, oldest first, the episode of each, and which had a reward."""
    size = buffer.size()
    slots = (np.arange(size) + (buffer.pos if buffer.full else 0)) % size
    ends = np.cumsum(buffer.dones[slots, env] > 0)
    episodes = np.concatenate(([0], ends[:-1]))
    return slots, episodes, np.bincount(episodes, weights=buffer.rewards[slots, env] > 0) > 0


class RewardedReplayBuffer(_RewardedSampling):
    """A replay buffer for sparse rewards: `share` of each batch is from episodes that had one.

    Where one episode in fifty succeeds, an update sees little of what success looks like. An
    off-policy algorithm may draw its batches as it likes, so rewarded episodes are drawn more often
    (as in Oh et al. 2018, *Self-Imitation Learning*). Stock SAC takes it as `replay_buffer_class`.
    With several envs a time step counts for all of them where it does for one.

    Args:
        *args: Those of SB3's `ReplayBuffer`.
        share: Share of a batch from rewarded episodes, in (0, 1); none before the first of them.
        **kwargs: Those of SB3's `ReplayBuffer`.

    Raises:
        InvalidArgumentError: The share is outside its range, `optimize_memory_usage` is set, or
            `n_steps` is given.

    Example:
        >>> from stable_baselines3 import SAC
        >>> model = SAC("MlpPolicy", "Pendulum-v1", buffer_size=1_000,
        ...             replay_buffer_class=RewardedReplayBuffer,
        ...             replay_buffer_kwargs={"share": 0.25})
        >>> model.replay_buffer.size()
        0
    """


class RewardedDictReplayBuffer(_RewardedSampling, DictReplayBuffer):
    """`RewardedReplayBuffer` for Dict observations."""


def replay_arrays(buffer: ReplayBuffer) -> dict[str, AnyArray]:
    """Transitions of `buffer`, oldest first, as arrays (N, envs, ...) by name.

    Parts of Dict observations are named "observations/image" and so on.
    """
    if not buffer.full:
        return {name: array[: buffer.pos].copy() for name, array in _arrays(buffer)}
    return {name: np.roll(array, -buffer.pos, axis=0) for name, array in _arrays(buffer)}


def restore_replay(buffer: ReplayBuffer, stored: Mapping[str, AnyArray]) -> None:
    """Fill `buffer` with what `replay_arrays` returned; one larger than the stored is fine."""
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
