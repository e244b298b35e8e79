"""What the actions of a data set look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parrot_wrapper.types import FloatArray


@dataclass(frozen=True)
class ActionStatistics:
    """Statistics per action dimension.

    Attributes:
        mean: (A,) float32.
        std: (A,) float32.
        clip_fraction: (A,) float32 in [0, 1]: the share of actions on or beyond the box's edge.
    """

    mean: FloatArray
    std: FloatArray
    clip_fraction: FloatArray


def action_statistics(actions: FloatArray, low: FloatArray, high: FloatArray) -> ActionStatistics:
    """Summarise actions (N, A) that were taken in the box `low` ... `high` (A,)."""
    return ActionStatistics(
        mean=actions.mean(0, dtype=np.float64).astype(np.float32),
        std=actions.std(0, dtype=np.float64).astype(np.float32),
        clip_fraction=((actions <= low) | (actions >= high)).mean(0).astype(np.float32),
    )
