"""Learning curves: smoothing, common steps, and steps to a level of success."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from parrot_wrapper.experiments.statistics import Values

SMOOTHING = 3
"""Bins that a point of a smoothed curve averages: its own and those before it."""

Curve = Sequence[tuple[float, float]]
"""(env steps, success) of consecutive bins of training, the steps at their ends."""


def smoothed(curve: Curve, bins: int = SMOOTHING) -> Curve:
    """Running mean over the last `bins` bins; over fewer at the beginning.

    Example:
        >>> smoothed([(1_000, 0.0), (2_000, 0.3), (3_000, 0.6), (4_000, 0.9)])
        [(1000, 0.0), (2000, 0.15), (3000, 0.3), (4000, 0.6)]
    """
    rates = [rate for _, rate in curve]
    windows = (rates[max(0, end - bins) : end] for end in range(1, len(rates) + 1))
    return [
        (step, sum(window) / len(window)) for (step, _), window in zip(curve, windows, strict=True)
    ]


def steps_to(curve: Curve, level: float, bins: int = SMOOTHING) -> float:
    """Env steps after which the mean success of `bins` bins first is at least `level`.

    A single bin has few episodes; a mean of several is not fooled by a lucky one.

    Returns:
        Env steps at the end of the last of these bins, or infinity if that never happened.

    Example:
        >>> curve = [(1_000, 0.9), (2_000, 0.0), (3_000, 0.3), (4_000, 0.6), (5_000, 0.9)]
        >>> steps_to(curve, 0.5), steps_to(curve, 0.8)
        (5000, inf)
    """
    for step, rate in smoothed(curve, bins)[bins - 1 :]:
        if rate >= level - 1e-9:
            return step
    return math.inf


def curve_steps(curves: Sequence[Curve]) -> Values:
    """(T,) steps that all curves have."""
    if not curves:
        return np.zeros(0)
    shared = set.intersection(*({step for step, _ in curve} for curve in curves))
    return np.array(sorted(shared), dtype=np.float64)


def curve_points(curve: Curve, steps: Values) -> Values:
    """(T,) the curve's success at some of its own steps."""
    rates = dict(curve)
    return np.array([rates[step] for step in steps.tolist()], dtype=np.float64)
