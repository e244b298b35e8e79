"""Replay buffers that keep demonstrations beside what an agent does, in every batch."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor

from parrot_wrapper.errors import MissingExtraError

try:
    from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
except ImportError as error:
    raise MissingExtraError(
        "DemonstrationReplayBuffer needs Stable-Baselines3, which is not installed; "
        "run: pip install 'parrot-wrapper[sb3]'"
    ) from error

from parrot_wrapper.rl.replay.replay_checks import check_sharing, require_transitions


class _SamplingDemonstrations(ReplayBuffer):
    """Draws a share of each batch from a second buffer, of demonstrations."""

    def __init__(self, *args: Any, share: float = 0.5, **kwargs: Any) -> None:
        check_sharing(share, kwargs)
        super().__init__(*args, **kwargs)
        self._share = share
        self.demonstrations: ReplayBuffer | None = None

    def room_for(self, transitions: int) -> ReplayBuffer:
        """An empty buffer of the same spaces, for so many transitions of each env."""
        kind: Any = DictReplayBuffer if isinstance(self, DictReplayBuffer) else ReplayBuffer
        empty: ReplayBuffer = kind(
            transitions * self.n_envs,
            self.observation_space,
            self.action_space,
            self.device,
            n_envs=self.n_envs,
        )
        return empty

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Draw a batch, `share` of it from demonstrations; all of it from the half that is filled.

        Raises:
            DataError: Both are empty.
        """
        if self.demonstrations is None or not self.demonstrations.size():
            require_transitions(self)
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
    """Whether it is one of the two classes above."""
    return isinstance(buffer, _SamplingDemonstrations)
