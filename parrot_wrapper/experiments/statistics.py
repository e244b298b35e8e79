"""Statistics over few runs, and learning curves: smoothing and steps to a level of success.

Definitions: Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice", NeurIPS.

The runs of a method are given by task, so that unfinished grids, in which tasks have different
numbers of runs, are no special case. The bootstrap is stratified: each task's runs are drawn anew,
with replacement, from that task's runs. Intervals are percentile intervals at 95 %. They tell how
far other *seeds* could move a number; where no task has two runs there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import trim_mean

from parrot_wrapper.errors import DataError

RESAMPLES = 5_000
"""Bootstrap resamples of an interval."""

Values = npt.NDArray[np.float64]
Runs = Mapping[str, npt.ArrayLike]
"""Task to the scores of its runs, (runs,), or to their curves, (runs, points)."""

SMOOTHING = 3
"""Bins that a point of a smoothed curve averages: its own and those before it."""

Curve = Sequence[tuple[float, float]]
"""(env steps, success) of consecutive bins of training, the steps at their ends."""

_CURVE_RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; low and high are None where there is nothing to resample.

    Example:
        >>> str(Estimate(0.9, 0.85, 0.95)), str(Estimate(0.9))
        ('0.90 [0.85, 0.95]', '0.90')
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Low and high, where there are such."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def __str__(self) -> str:
        """Value, and interval where there is one, with two decimals."""
        ends = "" if self.interval is None else " [{:.2f}, {:.2f}]".format(*self.interval)
        return f"{self.value:.2f}{ends}"


@dataclass(frozen=True)
class Band:
    """A function with a 95 % interval at each of its points.

    Attributes:
        at: (T,) where it is evaluated.
        value: (T,) its values.
        low: (T,) lower ends; None where there is nothing to resample.
        high: (T,) upper ends, or None.
    """

    at: Values
    value: Values
    low: Values | None = None
    high: Values | None = None


def interquartile_mean(scores: npt.ArrayLike, axis: int | None = None) -> Values:
    """Mean of the middle half: a quarter of the scores, rounded down, is cut off at each end.

    Example:
        >>> float(interquartile_mean([0.0, 0.5, 0.7, 1.0]))
        0.6
    """
    return np.asarray(trim_mean(np.asarray(scores, np.float64), 0.25, axis=axis))


def estimate_iqm(runs: Runs) -> Estimate:
    """Interquartile mean over the runs (runs,) of all tasks, with its stratified interval.

    Example:
        >>> estimate = estimate_iqm({"grasp": [0.8, 0.9, 1.0], "place": [0.6, 0.7, 0.8]})
        >>> str(estimate)
        '0.80 [0.72, 0.88]'
    """
    return _estimate(_strata(runs), _pooled_iqm, RESAMPLES)


def estimate_mean(scores: npt.ArrayLike) -> Estimate:
    """Mean over the runs of one task, with its bootstrap interval."""
    return _estimate(_strata({"task": scores}), _pooled_mean, RESAMPLES)


def iqm_curve(runs: Runs, at: npt.ArrayLike) -> Band:
    """Interquartile mean over runs at each point of their curves (runs, T).

    Args:
        runs: Task to curves; one resample takes whole curves.
        at: (T,) env steps of the points.
    """
    return _band(at, _strata(runs), _pooled_iqm)


def performance_profile(runs: Runs, thresholds: npt.ArrayLike) -> Band:
    """Share of runs that score more than each threshold (T,), over the runs of all tasks.

    Example:
        >>> profile = performance_profile({"grasp": [0.2, 0.9]}, [0.0, 0.2, 0.5])
        >>> profile.value
        array([1. , 0.5, 0.5])
    """
    above = [(scores[:, None] > np.asarray(thresholds)).astype(float) for scores in _strata(runs)]
    return _band(thresholds, above, _pooled_mean)


def probability_of_improvement(first: Runs, second: Runs) -> Estimate:
    """Probability that a run of `first` beats one of `second` on the same task; ties count half.

    Averaged over the tasks that both have; both methods' runs are resampled, independently.

    Example:
        >>> probability_of_improvement({"grasp": [0.9, 0.5]}, {"grasp": [0.5, 0.1]}).value
        0.875
    """
    tasks = [task for task in first if task in second]
    if not tasks:
        raise DataError(
            f"Expected runs of both methods on one task at least, got {sorted(first)} and "
            f"{sorted(second)}."
        )

    def wins(*scores: Values) -> Values:
        ours = [runs[..., :, None] for runs in scores[::2]]
        theirs = [runs[..., None, :] for runs in scores[1::2]]
        shares = [
            ((mine > yours) + 0.5 * (mine == yours)).mean(axis=(-2, -1))
            for mine, yours in zip(ours, theirs, strict=True)
        ]
        return np.asarray(np.mean(shares, axis=0))

    pairs = [np.asarray(runs[task], np.float64) for task in tasks for runs in (first, second)]
    return _estimate(pairs, wins, RESAMPLES)


def median_steps(steps: Sequence[float]) -> float:
    """Median of steps to a level, infinity for runs that never reached it; infinity if none did.

    Example:
        >>> median_steps([4_000, 9_000, math.inf]), median_steps([4_000, math.inf, math.inf])
        (9000.0, inf)
    """
    return float(np.median(steps)) if steps else math.inf


def smoothed(curve: Curve) -> Curve:
    """Running mean over the last `SMOOTHING` bins; over fewer at the beginning.

    Example:
        >>> smoothed([(1_000, 0.0), (2_000, 0.3), (3_000, 0.6), (4_000, 0.9)])
        [(1000, 0.0), (2000, 0.15), (3000, 0.3), (4000, 0.6)]
    """
    rates = [rate for _, rate in curve]
    windows = (rates[max(0, end - SMOOTHING) : end] for end in range(1, len(rates) + 1))
    return [
        (step, sum(window) / len(window)) for (step, _), window in zip(curve, windows, strict=True)
    ]


def steps_to(curve: Curve, level: float) -> float:
    """Env steps after which the mean success of `SMOOTHING` bins first is at least `level`.

    A single bin has few episodes; a mean of several is not fooled by a lucky one.

    Returns:
        Env steps at the end of the last of these bins, or infinity if that never happened.

    Example:
        >>> curve = [(1_000, 0.9), (2_000, 0.0), (3_000, 0.3), (4_000, 0.6), (5_000, 0.9)]
        >>> steps_to(curve, 0.5), steps_to(curve, 0.8)
        (5000, inf)
    """
    for step, rate in smoothed(curve)[SMOOTHING - 1 :]:
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


def _strata(runs: Runs) -> list[Values]:
    """The runs of each task that has any."""
    strata = [np.asarray(scores, np.float64) for scores in runs.values()]
    strata = [scores for scores in strata if len(scores)]
    if not strata:
        raise DataError("Expected one run at least, got none.")
    return strata


def _pooled_iqm(*strata: Values) -> Values:
    return interquartile_mean(np.concatenate(strata, axis=-1), axis=-1)


def _pooled_mean(*strata: Values) -> Values:
    return np.asarray(np.concatenate(strata, axis=-1).mean(axis=-1))


_Statistic = Callable[..., Values]
"""Of strata (..., runs), along the last axis."""


def _estimate(strata: Sequence[Values], statistic: _Statistic, resamples: int) -> Estimate:
    """A statistic of strata (runs,), with its interval."""
    value, rng = float(statistic(*strata)), np.random.default_rng(0)
    if max(map(len, strata)) < 2:
        return Estimate(value)
    # scipy.stats.bootstrap refuses strata of a single run
    drawn = [runs[rng.integers(len(runs), size=(resamples, len(runs)))] for runs in strata]
    low, high = np.percentile(statistic(*drawn), (2.5, 97.5))
    return Estimate(value, float(low), float(high))


def _band(at: npt.ArrayLike, strata: Sequence[Values], statistic: _Statistic) -> Band:
    """The same at each point of strata (runs, T), with the same resamples of whole runs."""
    points = zip(*(runs.T for runs in strata), strict=True)
    found = [_estimate(point, statistic, _CURVE_RESAMPLES) for point in points]
    ends = [(e.low, e.high) for e in found if e.low is not None]
    low, high = np.array(ends, np.float64).T if ends else (None, None)
    return Band(np.asarray(at, np.float64), np.array([e.value for e in found]), low, high)
