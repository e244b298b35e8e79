"""Figures of the paper's studies: amount of data, mismatch of data and task, exploration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parrot_wrapper.experiments.figure_style import (
    INK,
    label_ends,
    new_figure,
    short_number,
    success_axis,
    variant_colors,
)
from parrot_wrapper.experiments.figures import estimate_bars
from parrot_wrapper.experiments.mismatch import KINDS, mismatch_rows
from parrot_wrapper.experiments.statistics import estimate_iqm
from parrot_wrapper.experiments.study import Study, Variant
from parrot_wrapper.experiments.tables import exploration_shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUP_COLORS = {
    "matched": "#0072b2",
    "mismatched": "#d55e00",
    "remedy": "#009e73",
    "no data": "#7a7f87",
}


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
