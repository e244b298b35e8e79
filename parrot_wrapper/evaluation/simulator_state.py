"""The labels that this project's envs offer, as vectors; used by controls and probes only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parrot_wrapper.types import FloatArray

LANDMARKS, GRIPPER = "landmarks", "gripper"
POSITION = "position"
"""Where the agent is, (2,) or more in the env's own unit; drawn where there is no gripper."""
_LEFT_OUT = ("landmark_pixels",)


def state_vectors(labels: Mapping[str, FloatArray]) -> FloatArray:
    """All labels side by side: (N, S) float32 from arrays (N, ...).

    Where the labels have "landmarks" (N, L, 3) and "gripper" (N, 3 or more), the vectors from the
    gripper to each landmark stand beside them: what an expert steers by.
    """
    rows = len(next(iter(labels.values())))
    parts = [labels[key].reshape(rows, -1) for key in sorted(labels) if key not in _LEFT_OUT]
    if LANDMARKS in labels and GRIPPER in labels:
        parts.append((labels[LANDMARKS] - labels[GRIPPER][:, None, :3]).reshape(rows, -1))
    return np.concatenate(parts, axis=1).astype(np.float32)
