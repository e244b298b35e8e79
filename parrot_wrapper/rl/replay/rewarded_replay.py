"""Replay buffers that show an agent its rare successes more often than they happened."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from parrot_wrapper.errors import InvalidArgumentError, MissingExtraError

try:
    from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
except ImportError as error:
    raise MissingExtraError(
        "RewardedReplayBuffer needs Stable-Baselines3, which is not installed; "
        "run: pip install 'parrot-wrapper[sb3]'"
    ) from error

from parrot_wrapper.rl.replay.replay_checks import check_sharing, require_transitions


class _RewardedSampling(ReplayBuffer):
    """Draws a share of each batch from episodes that had a reward."""

    def __init__(self, *args: Any, share: float = 0.5, **kwargs: Any) -> None:
        check_sharing(share, kwargs)
        super().__init__(*args, **kwargs)
        if self.optimize_memory_usage:
            raise InvalidArgumentError("Expected optimize_memory_usage=False, got True.")
        self._share = share
        self._rewarded: NDArray[np.intp] | None = None

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
        """Draw a batch, `share` of it from rewarded episodes where there are any.

        Raises:
            DataError: The buffer is empty.
        """
        require_transitions(self)
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
