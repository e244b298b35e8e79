"""Against hand-computed cases, scipy, exact enumeration, and loops that resample one by one."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from parrot_wrapper.errors import DataError
from parrot_wrapper.experiments.statistics import (
    Estimate,
    estimate_iqm,
    estimate_mean,
    interquartile_mean,
    iqm_curve,
    median_steps,
    performance_profile,
    probability_of_improvement,
    smoothed,
    steps_to,
)

ONE = {"grasp": [0.9, 0.8, 0.95], "place": [0.2, 0.6, 0.5], "push": [0.7, 0.71, 0.3]}
TWO = {"grasp": [0.5, 0.8, 0.1], "place": [0.3, 0.6, 0.4], "push": [0.1, 0.0, 0.35]}


@pytest.mark.parametrize(
    ("scores", "value"),
    [
        ([0.4], 0.4),
        ([0.0, 1.0], 0.5),  # nothing is cut off: a quarter of two is none
        ([0.0, 0.2, 1.0], 0.4),
        ([9.0, 1.0, 2.0, 0.0], 1.5),
        ([0, 1, 2, 3, 4, 5, 6, 100], 3.5),
        ([[0, 1], [100, 2]], 1.5),  # pooled, whatever the shape
    ],
)
def test_interquartile_mean_by_hand(scores, value):
    assert interquartile_mean(scores) == pytest.approx(value)


def test_iqm_is_over_the_pool_of_all_tasks():
    pool = sorted(score for scores in ONE.values() for score in scores)
    assert estimate_iqm(ONE).value == pytest.approx(np.mean(pool[2:-2]))


def exact_quantiles(runs, statistic):
    """Of all equally likely stratified resamples, without any randomness."""
    strata = [list(itertools.product(scores, repeat=len(scores))) for scores in runs.values()]
    values = [statistic(np.concatenate(drawn)) for drawn in itertools.product(*strata)]
    return np.quantile(values, [0.025, 0.975], method="inverted_cdf")


def test_interval_is_that_of_all_possible_resamples():
    runs = {"grasp": ONE["grasp"], "place": ONE["place"]}

    def by_sorting(pool):
        ordered = np.sort(pool)
        cut = len(ordered) // 4
        return ordered[cut : len(ordered) - cut].mean()

    estimate = estimate_iqm(runs)
    assert [estimate.low, estimate.high] == pytest.approx(
        exact_quantiles(runs, by_sorting), abs=0.02
    )
    mean = estimate_mean(ONE["place"])
    exact = exact_quantiles({"place": ONE["place"]}, np.mean)
    assert [mean.low, mean.high] == pytest.approx(exact, abs=1e-9)


def test_strata_stay_apart():
    """Where every task's runs are alike, no resample differs; pooled ones would."""
    estimate = estimate_iqm({"easy": [1.0] * 3, "hard": [0.0] * 3})
    assert estimate == Estimate(0.5, 0.5, 0.5)


def test_seeded_and_independent_of_other_tasks_having_no_runs():
    assert estimate_iqm(ONE) == estimate_iqm({**ONE, "new": []})


def test_one_run_a_task_has_no_interval():
    single = {"grasp": [0.9], "place": [0.5]}
    assert estimate_iqm(single) == Estimate(0.7)
    assert estimate_mean([0.9]) == Estimate(0.9)
    assert performance_profile(single, [0.6]).low is None
    assert iqm_curve({"grasp": [[0.1, 0.2]]}, [1, 2]).high is None
    assert probability_of_improvement(single, single) == Estimate(0.5)


def test_unequal_numbers_of_runs():
    estimate = estimate_iqm({"grasp": [0.9, 0.8, 0.7], "place": [0.5]})
    assert estimate.value == pytest.approx(0.75)
    assert estimate.low < 0.75 < estimate.high


def test_iqm_curve_is_the_iqm_at_each_point():
    curves = {task: np.outer(scores, [0.5, 1.0]) for task, scores in ONE.items()}
    band = iqm_curve(curves, [1_000, 2_000])
    whole = estimate_iqm(ONE)
    assert band.value == pytest.approx([0.5 * whole.value, whole.value])
    assert band.low[1] == pytest.approx(whole.low, abs=0.02)
    assert band.high[0] == pytest.approx(0.5 * whole.high, abs=0.02)


def test_performance_profile_counts_runs_above():
    band = performance_profile(ONE, [0.0, 0.2, 0.5, 0.95])
    assert band.value == pytest.approx([1.0, 8 / 9, 6 / 9, 0.0])
    assert (band.low <= band.value).all() and (band.value <= band.high).all()
    assert np.all(np.diff(band.low) <= 0) and np.all(np.diff(band.high) <= 0)


def test_probability_of_improvement_is_the_mean_mann_whitney_statistic():
    expected = [
        mannwhitneyu(ONE[task], TWO[task], alternative="greater").statistic / 9 for task in ONE
    ]
    estimate = probability_of_improvement(ONE, TWO)
    assert estimate.value == pytest.approx(np.mean(expected))
    assert estimate.low < estimate.value < estimate.high
    back = probability_of_improvement(TWO, ONE)
    assert estimate.value + back.value == pytest.approx(1.0)


def test_probability_of_improvement_agrees_with_a_loop():
    rng, values = np.random.default_rng(1), []
    for _ in range(2_000):
        shares = []
        for task, scores in ONE.items():
            ours, theirs = rng.choice(scores, 3), rng.choice(TWO[task], 3)
            shares.append(np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs]))
        values.append(np.mean(shares))
    estimate = probability_of_improvement(ONE, TWO)
    expected = np.quantile(values, [0.025, 0.975])
    assert [estimate.low, estimate.high] == pytest.approx(expected, abs=0.03)


def test_probability_of_improvement_over_shared_tasks_only():
    assert probability_of_improvement({"a": [1.0], "b": [0.0]}, {"a": [0.0]}).value == 1.0
    with pytest.raises(DataError, match=r"one task at least, got \['a'\] and \['b'\]"):
        probability_of_improvement({"a": [1.0]}, {"b": [0.0]})


def test_nothing_to_count():
    with pytest.raises(DataError, match="one run at least, got none"):
        estimate_iqm({})
    with pytest.raises(DataError, match="one run at least, got none"):
        estimate_mean([])


def test_steps_to_a_level():
    lucky = [(1_000, 1.0), (2_000, 0.0), (3_000, 0.0), (4_000, 0.5), (5_000, 1.0), (6_000, 0.9)]
    assert steps_to(lucky, 0.5) == 5_000  # the mean of 3,000 to 5,000; not the first, lucky bin
    assert steps_to(lucky, 0.8) == 6_000
    assert steps_to(lucky, 0.9) == math.inf
    assert steps_to(lucky[:2], 0.1) == math.inf  # fewer bins than a mean takes
    assert steps_to([], 0.5) == math.inf
    assert [rate for _, rate in smoothed(lucky)][:3] == pytest.approx([1.0, 0.5, 1 / 3])


def test_median_of_steps_where_some_never_get_there():
    assert median_steps([3_000, 5_000]) == 4_000
    assert median_steps([3_000, math.inf]) == math.inf
    assert median_steps([math.inf, 3_000, 5_000]) == 5_000
    assert median_steps([]) == math.inf
