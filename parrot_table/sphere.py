"""Evenly spread anchor points on the unit sphere."""

from __future__ import annotations

import numpy as np

from parrot_wrapper.types import FloatArray


def sphere_anchors(count: int) -> FloatArray:
    """Unit vectors (count, 3) float32 on a Fibonacci spiral, nearly evenly spread.

    Example:
        >>> anchors = sphere_anchors(12)
        >>> bool(np.allclose(np.linalg.norm(anchors, axis=1), 1.0))
        True
    """
    index = np.arange(count) + 0.5
    height = 1.0 - 2.0 * index / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - height**2)
    points = np.stack((radius * np.cos(angle), radius * np.sin(angle), height), axis=1)
    return points.astype(np.float32)
