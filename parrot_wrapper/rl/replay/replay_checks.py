"""What replay buffers that draw a share of each batch from elsewhere refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.buffers import ReplayBuffer

from parrot_wrapper.checks import require_share
from parrot_wrapper.errors import DataError, InvalidArgumentError


def check_sharing(share: float, options: Mapping[str, Any]) -> None:
    """Check how such a buffer was asked for.

    Raises:
        InvalidArgumentError: The share is outside (0, 1), or n-step returns are wanted.
    """
    require_share("share", share)
    if "n_steps" in options:
        raise InvalidArgumentError(
            "Expected no n_steps, since this buffer draws transitions of one step, got "
            f"{options['n_steps']!r}. n-step returns need Stable-Baselines3's NStepReplayBuffer."
        )


def require_transitions(buffer: ReplayBuffer) -> None:
    """Refuse to draw from an empty buffer, before NumPy fails at it.

    Raises:
        DataError: There is no transition yet.
    """
    if not buffer.size():
        raise DataError(
            f"Expected a {type(buffer).__name__} with transitions to draw a batch from, got an "
            "empty one. Let the agent act first, or fill it with fill_replay_buffer."
        )
