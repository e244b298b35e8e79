"""The labels that this project's envs offer, as vectors; used by controls and probes only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parrot_wrapper.types import FloatArray

LANDMARKS = "landmarks"
HAND = "gripper"
"""What an arm acts with: its tip first, in metres."""
POSITION = "position"
"""Where the agent is, (2,) or more in the env's own unit; drawn where there is no hand."""
_LEFT_OUT = ("landmark_pixels",)


def state_vectors(labels: Mapping[str, FloatArray]) -> FloatArray:
    """All labels side by side: (N, S) float32 from arrays (N, ...).

    Where the labels have `LANDMARKS` (N, L, 3) and `HAND` (N, 3 or more), the vectors from the
    hand to each landmark stand beside them: what an expert steers by.
    """
    rows = len(next(iter(labels.values())))
    parts = [labels[key].reshape(rows, -1) for key in sorted(labels) if key not in _LEFT_OUT]
    if LANDMARKS in labels and HAND in labels:
        parts.append((labels[LANDMARKS] - labels[HAND][:, None, :3]).reshape(rows, -1))
    return np.concatenate(parts, axis=1).astype(np.float32)
