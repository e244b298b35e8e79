"""Figures of a study: success at the end, learning curves, profiles, probability of improvement."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from parrot_wrapper.experiments.figure_style import (
    FAINT,
    INK,
    label_ends,
    new_figure,
    short_number,
    steps_axis,
    success_axis,
    variant_colors,
)
from parrot_wrapper.experiments.mismatch import KINDS, mismatch_rows
from parrot_wrapper.experiments.statistics import (
    Band,
    Estimate,
    estimate_iqm,
    iqm_curve,
    performance_profile,
    probability_of_improvement,
)
from parrot_wrapper.experiments.study import Study, Variant, task_name
from parrot_wrapper.experiments.tables import exploration_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_THRESHOLDS = np.linspace(0.0, 1.0, 101)
_COLUMNS = 4
_IN_A_ROW = 7
"""Legends of so many methods fit above a figure in one line."""
_BAND = 0.16
"""Opacity of a band."""

_GROUP_COLORS = {
    "matched": "#0072b2",
    "mismatched": "#d55e00",
    "remedy": "#009e73",
    "no data": "#7a7f87",
}


def success_bars(study: Study) -> Figure:
    """IQM of held-out success of each variant, best first, with its interval."""
    found = [(variant, estimate_iqm(study.scores(variant))) for variant in study.variants]
    found.sort(key=lambda pair: -pair[1].value)
    figure = new_figure(0.62 + 0.27 * len(found))
    axes = figure.subplots()
    colors = variant_colors(study.variants)
    estimate_bars(axes, [(study.label(v), colors[v], estimate) for v, estimate in found])
    axes.set_xlabel("interquartile mean of held-out success")
    return figure


def estimate_bars(axes: Axes, entries: Sequence[tuple[str, str, Estimate]]) -> None:
    """Bars with intervals and values, from top to bottom, on an axis of success."""
    for place, (_, color, estimate) in enumerate(entries):
        axes.barh(place, estimate.value, height=0.62, color=color, alpha=0.85)
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [place, place], color=INK, linewidth=1.2)
    _finish_rows(axes, entries)


def estimate_points(axes: Axes, entries: Sequence[tuple[str, str, Estimate]]) -> None:
    """The same with a point in place of a bar, for numbers that are not better from 0 on."""
    for place, (_, color, estimate) in enumerate(entries):
        if estimate.low is not None and estimate.high is not None:
            ends = [estimate.low, estimate.high]
            axes.plot(ends, [place, place], color=color, linewidth=6, alpha=0.35)
        axes.plot([estimate.value], [place], "o", color=color, clip_on=False)
    axes.set_ylim(-0.6, len(entries) - 0.4)
    _finish_rows(axes, entries)


def _finish_rows(axes: Axes, entries: Sequence[tuple[str, str, Estimate]]) -> None:
    for place, (_, _, estimate) in enumerate(entries):
        axes.annotate(
            str(estimate),
            xy=(estimate.value if estimate.high is None else estimate.high, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    success_axis(axes, along="x")
    axes.set_yticks(range(len(entries)), [name for name, _, _ in entries])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False, axis="y")


def mean_curves(study: Study) -> Figure:
    """IQM over tasks and seeds of success in training against env steps, with intervals."""
    figure = new_figure(3.0)
    axes = figure.subplots()
    colors = variant_colors(study.variants)
    ends, last = [], 1.0
    for variant in reversed(study.variants):
        steps, curves = study.curves(variant)
        if not len(steps):
            continue
        band = iqm_curve(curves, steps)
        draw_band(axes, band, colors[variant])
        ends.append(
            (float(band.value[-1]), study.label(variant), colors[variant], float(steps[-1]))
        )
        last = max(last, float(steps[-1]))
    steps_axis(axes, last)
    success_axis(axes)
    axes.set(xlabel="env steps", ylabel="success in training (IQM)")
    label_ends(axes, ends)
    return figure


def draw_band(axes: Axes, band: Band, color: str) -> None:
    """A line, and around it its interval where there is one."""
    if band.low is not None and band.high is not None:
        axes.fill_between(band.at, band.low, band.high, color=color, alpha=_BAND, linewidth=0)
    axes.plot(band.at, band.value, color=color, marker="o" if len(band.at) == 1 else None)


def task_curves(study: Study) -> Figure:
    """Learning curves of every task, a panel each."""
    columns = min(_COLUMNS, len(study.tasks))
    rows = math.ceil(len(study.tasks) / columns)
    figure = new_figure(1.6 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, task in zip(panels, study.tasks, strict=False):
        draw_task(axes, study, task)
        axes.set_title(fill(task_name(task), 17))
    for axes in panels[len(study.tasks) :]:
        axes.set_visible(False)
    figure.supxlabel("env steps", fontsize="medium")
    figure.supylabel("success in training", fontsize="medium")
    _legend_above(figure, study)
    return figure


def task_panel(study: Study, task: str) -> Figure:
    """Learning curves of one task in a small figure of its own, without its name."""
    figure = new_figure(1.4, width=2.1)
    draw_task(figure.subplots(), study, task)
    return figure


def draw_task(axes: Axes, study: Study, task: str) -> None:
    """Mean over the runs of one task, each variant; a band from the lowest to the highest run."""
    colors = variant_colors(study.variants)
    last = 1.0
    for variant in reversed(study.variants):
        steps, curves = study.curves(variant, [task])
        if len(steps):
            runs = curves[task]
            several = len(runs) > 1
            low, high = (runs.min(axis=0), runs.max(axis=0)) if several else (None, None)
            draw_band(axes, Band(steps, runs.mean(axis=0), low, high), colors[variant])
            last = max(last, float(steps[-1]))
    success_axis(axes)
    axes.set_xlim(0.0, last)
    axes.set_xticks([0.0, last], ["0", short_number(last)])


def legend_entries(study: Study) -> tuple[list[Artist], list[str]]:
    """Handles and names for a legend of the study's variants."""
    from matplotlib.lines import Line2D

    colors = variant_colors(study.variants)
    lines: list[Artist] = [Line2D([], [], color=colors[v], linewidth=2.5) for v in study.variants]
    return lines, [study.label(variant) for variant in study.variants]


def _legend_above(figure: Figure, study: Study) -> None:
    figure.legend(
        *legend_entries(study),
        loc="outside upper left",
        ncols=len(study.variants) if len(study.variants) <= _IN_A_ROW else 3,
        frameon=False,
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=1.2,
    )


def profiles(study: Study) -> Figure:
    """Share of runs above each success: the higher, the better, all over."""
    figure = new_figure(2.7)
    axes = figure.subplots()
    colors = variant_colors(study.variants)
    for variant in reversed(study.variants):
        draw_band(axes, performance_profile(study.scores(variant), _THRESHOLDS), colors[variant])
    success_axis(axes)
    success_axis(axes, along="x")
    axes.set(xlabel="held-out success above", ylabel="share of runs")
    figure.legend(*legend_entries(study), loc="outside right upper", frameon=False)
    return figure


def improvements(study: Study) -> dict[Variant, Estimate]:
    """Probability that the study's first variant beats each other one that shares tasks with it."""
    first, *others = study.variants
    ours = study.scores(first)
    scores = ((variant, study.scores(variant)) for variant in others)
    return {
        variant: probability_of_improvement(ours, theirs)
        for variant, theirs in scores
        if set(theirs) & set(ours)
    }


def improvement_bars(study: Study) -> Figure:
    """Probability that a run of the first variant beats a run of each other one."""
    found = sorted(improvements(study).items(), key=lambda pair: pair[1].value)
    first = study.variants[0]
    color = variant_colors(study.variants)[first]
    figure = new_figure(0.62 + 0.27 * len(found))
    axes = figure.subplots()
    estimate_points(axes, [(f"better than {v.name}", color, estimate) for v, estimate in found])
    axes.axvline(0.5, color=FAINT, linewidth=1.0, linestyle=":", zorder=0)
    axes.set_xlabel(f"probability of improvement of {first.name}")
    return figure


def data_size_curves(study: Study) -> Figure:
    """IQM of held-out success against the number of demonstrations, a line for each method.

    Methods that learn from no data are dashed lines all along.
    """
    figure = new_figure(2.8)
    axes = figure.subplots()
    sizes = sorted({v.data_episodes for v in study.variants if v.data_episodes is not None})
    colors = variant_colors([Variant(m) for m in dict.fromkeys(v.method for v in study.variants)])
    ends = []
    for method, color in colors.items():
        same = [v for v in study.variants if v.method == method.method]
        estimates = [estimate_iqm(study.scores(v)) for v in same]
        ends.append((estimates[-1].value, method.name, color, float(max(sizes))))
        if same[0].data_episodes is None:
            axes.axhline(estimates[0].value, color=color, linestyle="--")
            continue
        at = [float(v.data_episodes or 0) for v in same]
        axes.plot(at, [estimate.value for estimate in estimates], "o-", color=color)
        for where, estimate in zip(at, estimates, strict=True):
            if estimate.low is not None and estimate.high is not None:
                axes.plot([where] * 2, [estimate.low, estimate.high], color=color, linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.15, max(sizes) * 1.15)
    axes.set_xticks(sizes, [short_number(size) for size in sizes])
    axes.set_xticks([], minor=True)
    success_axis(axes)
    axes.set(xlabel="demonstrations", ylabel="held-out success (IQM)")
    label_ends(axes, ends)
    return figure


def mismatch_bars(study: Study) -> Figure:
    """Success on grasp and on place tasks with each prior data, matched or not, and remedies."""
    rows = mismatch_rows(study)
    kinds = list(dict.fromkeys(row.kind for row in rows))
    counts = [sum(row.kind == kind for row in rows) for kind in kinds]
    figure = new_figure(0.9 + 0.27 * sum(counts) + 0.3 * len(kinds))
    panels = figure.subplots(
        len(kinds), 1, squeeze=False, sharex=True, height_ratios=[count + 0.6 for count in counts]
    )[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        chosen = [row for row in rows if row.kind == kind]
        estimate_bars(
            axes,
            [(row.name, _GROUP_COLORS[row.group], row.estimate) for row in chosen],
        )
        axes.set_title(KINDS[kind])
    panels[-1].set_xlabel("interquartile mean of held-out success")
    return figure


def exploration_bars(study: Study) -> Figure:
    """Share of episodes in which random behaviour lifts, places, succeeds; points are tasks."""
    parts = exploration_shares(study)
    figure = new_figure(0.75 + 0.27 * len(study.variants))
    figure.set_layout_engine("constrained", wspace=0.08)
    panels = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    colors = variant_colors(study.variants)
    for axes, (name, shares) in zip(panels, parts.items(), strict=True):
        for place, variant in enumerate(study.variants):
            values = shares.get(variant)
            if values is None:
                continue
            mean = float(np.mean(values))
            axes.barh(place, mean, height=0.62, color=colors[variant], alpha=0.85)
            axes.plot(values, np.full(len(values), place), ".", color=INK, markersize=3.5)
            axes.annotate(
                f"{mean:.2f}",
                xy=(max(values), place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                annotation_clip=False,
            )
        success_axis(axes, along="x")
        axes.set_title(name)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(study.variants)), [v.name for v in study.variants])
    panels[0].tick_params(axis="y", labelcolor=INK)
    panels[0].invert_yaxis()
    figure.supxlabel("share of episodes", fontsize="medium")
    return figure
