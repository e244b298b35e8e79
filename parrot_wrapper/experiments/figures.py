"""Figures of a study: which there are, how to read them, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parrot_wrapper.experiments.figure_style import (
    FAINT,
    INK,
    Panel,
    drawing,
    fits_columns,
    is_crowded,
    label_ends,
    name_rows,
    new_figure,
    panels_figure,
    save_png,
    short_number,
    steps_axis,
    success_axis,
    variant_colors,
)
from parrot_wrapper.experiments.judged_priors import judged_shares
from parrot_wrapper.experiments.statistics import (
    SMOOTHING,
    Band,
    Estimate,
    estimate_iqm,
    iqm_curve,
    performance_profile,
    probability_of_improvement,
)
from parrot_wrapper.experiments.study import (
    KINDS,
    Study,
    Variant,
    compares_data,
    mismatch_rows,
    task_name,
)
from parrot_wrapper.experiments.tables import exploration_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_THRESHOLDS = np.linspace(0.0, 1.0, 101)
_BAND = 0.16
"""Opacity of a band."""

_GROUP_COLORS = {
    "matched": "#0072b2",
    "mismatched": "#d55e00",
    "remedy": "#009e73",
    "no data": "#7a7f87",
}


def mean_curve_panels(study: Study) -> list[Panel]:
    """IQM over tasks and seeds of success in training against env steps, with intervals."""
    bands = {}
    for variant in study.variants:
        steps, curves = study.curves(variant)
        if len(steps):
            bands[variant] = iqm_curve(curves, steps)
    return _panels(study, "", bands, _finish_curves)


def task_curve_panels(study: Study) -> list[Panel]:
    """Mean over the runs of each task; a band from the lowest to the highest run."""
    panels = []
    for task in study.tasks:
        bands = {}
        for variant in study.variants:
            steps, curves = study.curves(variant, [task])
            if len(steps):
                runs = curves[task]
                low, high = (runs.min(axis=0), runs.max(axis=0)) if len(runs) > 1 else (None, None)
                bands[variant] = Band(steps, runs.mean(axis=0), low, high)
        panels += _panels(study, task_name(task), bands, _finish_curves)
    return panels


def profile_panels(study: Study) -> list[Panel]:
    """Share of runs above each success: the higher, the better, all over."""
    ordered = sorted(study.variants, key=lambda v: -estimate_iqm(study.scores(v)).value)
    bands = {v: performance_profile(study.scores(v), _THRESHOLDS) for v in ordered}
    return _panels(study, "", bands, _finish_profiles)


_Lines = Sequence[tuple[str, str, Band]]
"""Name, colour and band of each line, the topmost first."""
_Finish = Callable[["Axes", _Lines, bool], None]
"""Sets limits and ticks and, where that is asked for, names the lines."""


def _panels(study: Study, what: str, bands: dict[Variant, Band], finish: _Finish) -> list[Panel]:
    """One panel for all variants if these are few; else each beside the first one, in grey."""
    colors = variant_colors(study.variants)
    lines = {v: (study.label(v), colors[v], band) for v, band in bands.items()}
    if lines and not is_crowded(study.variants):
        return [Panel(what, partial(_draw, list(lines.values()), finish, True), True)]
    first = study.variants[0]
    grey = [lines[first]] if first in lines else []
    return [
        Panel(line[0], partial(_draw, [line, *grey], finish, False), False, what)
        for variant, line in lines.items()
        if variant != first
    ]


def _draw(lines: _Lines, finish: _Finish, named: bool, axes: Axes) -> None:
    for _, color, band in reversed(lines):
        if band.low is not None and band.high is not None:
            axes.fill_between(band.at, band.low, band.high, color=color, alpha=_BAND, linewidth=0)
        axes.plot(band.at, band.value, color=color, marker="o" if len(band.at) == 1 else None)
    success_axis(axes)
    finish(axes, lines, named)


def _finish_curves(axes: Axes, lines: _Lines, named: bool) -> None:
    last = max(float(band.at[-1]) for _, _, band in lines)
    if named:
        steps_axis(axes, last)
        label_ends(axes, [(float(b.value[-1]), n, c, float(b.at[-1])) for n, c, b in lines])
    else:
        axes.set_xlim(0.0, last)
        axes.set_xticks([0.0, last], ["0", short_number(last)])


def _finish_profiles(axes: Axes, lines: _Lines, named: bool) -> None:
    success_axis(axes, along="x")
    if named:
        handles = list(reversed(axes.get_lines()))
        names = [name for name, _, _ in lines]
        axes.legend(
            handles,
            names,
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            handlelength=1.2,
            frameon=False,
        )


def success_bars(study: Study) -> Figure:
    """IQM of held-out success of each variant, best first, with its interval."""
    found = [(variant, estimate_iqm(study.scores(variant))) for variant in study.variants]
    found.sort(key=lambda pair: -pair[1].value)
    figure = new_figure(0.62 + 0.27 * len(found))
    axes = figure.subplots()
    colors = variant_colors(study.variants)
    _estimate_bars(axes, [(study.label(v), colors[v], estimate) for v, estimate in found])
    axes.set_xlabel("interquartile mean of held-out success")
    return figure


_Entries = Sequence[tuple[str, str, Estimate]]
"""Name, colour and value of each row, from top to bottom."""


def _estimate_bars(axes: Axes, entries: _Entries) -> None:
    for place, (_, color, estimate) in enumerate(entries):
        axes.barh(place, estimate.value, height=0.62, color=color, alpha=0.85)
        if estimate.interval:
            axes.plot(estimate.interval, [place, place], color=INK, linewidth=1.2)
    _finish_rows(axes, entries)


def _finish_rows(axes: Axes, entries: _Entries) -> None:
    success_axis(axes, along="x")
    name_rows(axes, [name for name, _, _ in entries], [str(found) for _, _, found in entries])


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


def improvement_points(study: Study) -> Figure:
    """Probability that a run of the first variant beats a run of each other one."""
    found = sorted(improvements(study).items(), key=lambda pair: pair[1].value)
    first = study.variants[0]
    color = variant_colors(study.variants)[first]
    figure = new_figure(0.62 + 0.27 * len(found))
    axes = figure.subplots()
    axes.axvline(0.5, color=FAINT, linewidth=1.0, linestyle=":", zorder=0)
    for place, (_, estimate) in enumerate(found):
        if ends := estimate.interval:
            axes.plot(ends, [place, place], color=color, linewidth=6, alpha=0.35, clip_on=False)
        axes.plot([estimate.value], [place], "o", color=color, clip_on=False)
    _finish_rows(axes, [(study.name(v), color, estimate) for v, estimate in found])
    axes.set_xlabel(f"probability that {study.name(first)} is better")
    return figure


def data_size_curves(study: Study) -> Figure:
    """IQM of held-out success against the number of demonstrations, a line for each method.

    Methods that learn from no data are dashed lines all along.
    """
    figure = new_figure(2.8)
    axes = figure.subplots()
    sizes = sorted({v.data_episodes for v in study.variants if v.data_episodes is not None})
    colors = variant_colors([study.alone(name) for name in study.method_names])
    ends = []
    for method, color in colors.items():
        same = [v for v in study.variants if v.method == method.method]
        estimates = [estimate_iqm(study.scores(v)) for v in same]
        ends.append((estimates[-1].value, method.name, color, float(max(sizes)) * 1.15))
        if same[0].data_episodes is None:
            axes.axhline(estimates[0].value, color=color, linestyle="--")
            continue
        at = [float(v.data_episodes or 0) for v in same]
        axes.plot(at, [estimate.value for estimate in estimates], "o-", color=color)
        for where, estimate in zip(at, estimates, strict=True):
            if estimate.interval:
                axes.plot([where] * 2, estimate.interval, color=color, linewidth=1.2)
            axes.annotate(
                f"{estimate.value:.2f}",
                xy=(where, max(estimate.interval or [estimate.value])),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
            )
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.15, max(sizes) * 1.15)
    axes.set_xticks(sizes, [short_number(size) for size in sizes])
    axes.set_xticks([], minor=True)
    success_axis(axes)
    axes.set(xlabel="demonstrations", ylabel="held-out success (IQM)")
    if len(ends) > 1:
        label_ends(axes, ends)
    return figure


def mismatch_bars(study: Study) -> Figure:
    """Success on grasp and on place tasks with each prior data, matched or not, and remedies."""
    rows = mismatch_rows(study)
    kinds = list(dict.fromkeys(row.kind for row in rows))
    counts = [sum(row.kind == kind for row in rows) for kind in kinds]
    figure = new_figure(0.9 + 0.38 * sum(counts) + 0.3 * len(kinds))
    panels = figure.subplots(
        len(kinds), 1, squeeze=False, sharex=True, height_ratios=[count + 0.6 for count in counts]
    )[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        chosen = [row for row in rows if row.kind == kind]
        names = [f"{row.name}\n{row.group}" for row in chosen]
        bars = zip(names, chosen, strict=True)
        _estimate_bars(axes, [(name, _GROUP_COLORS[r.group], r.estimate) for name, r in bars])
        axes.set_title(KINDS[kind])
    panels[-1].set_xlabel("interquartile mean of held-out success")
    return figure


def exploration_bars(study: Study) -> Figure:
    """Share of episodes in which random behaviour lifts, places, succeeds; points are tasks."""
    return _share_bars(study, exploration_shares(study))


def judged_bars(study: Study) -> Figure:
    """Success of each prior's samples and clones, and of SAC behind it; points are runs."""
    return _share_bars(study, judged_shares(study))


def _share_bars(study: Study, parts: Mapping[str, Mapping[Variant, Sequence[float]]]) -> Figure:
    height = 0.75 + 0.27 * len(study.variants)
    if fits_columns():
        figure = new_figure(height)
        figure.set_layout_engine("constrained", wspace=0.12)
        panels = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    else:
        figure = new_figure(height * len(parts))
        panels = figure.subplots(len(parts), 1, squeeze=False)[:, 0]
    colors = variant_colors(study.variants)
    for axes, (name, shares) in zip(panels, parts.items(), strict=True):
        means = {variant: float(np.mean(values)) for variant, values in shares.items()}
        for place, variant in enumerate(study.variants):
            if variant in means:
                found = shares[variant]
                axes.barh(place, means[variant], height=0.62, color=colors[variant], alpha=0.85)
                axes.plot(found, np.full(len(found), place), ".", color=INK, markersize=3.5)
        success_axis(axes, along="x")
        axes.set_title(name)
        values = [f"{means[v]:.2f}" if v in means else "-" for v in study.variants]
        name_rows(axes, [v.name for v in study.variants], values)
    figure.supxlabel("share of episodes", fontsize="medium", color=FAINT)
    return figure


_INTERVALS = "95 % stratified bootstrap intervals over runs"
_CURVES = f"share of training episodes that end in success, running mean over {SMOOTHING} bins"


@dataclass(frozen=True)
class Plate:
    """A figure and its text, drawn as a whole or in panels.

    Attributes:
        name: Of its file, and unlike the study's others.
        title: What it shows, in a few words.
        caption: How to read it.
        whole: Makes it from the study; None where there are panels.
        panels: Its panels, in order.
        axes: What runs along x and along y of panels.
    """

    name: str
    title: str
    caption: str
    whole: Callable[[Study], Figure] | None = None
    panels: Sequence[Panel] = ()
    axes: tuple[str, str] = ("env steps", "success in training")

    def draw(self, study: Study) -> Figure:
        """All of it as one figure."""
        return self.whole(study) if self.whole else panels_figure(self.panels, *self.axes)


_JUDGED = Plate(
    "judged",
    "What priors do before RL, and with it",
    "Shares of held-out episodes that end in success; bars are means, points are tasks and seeds.",
    judged_bars,
)


def plates(study: Study) -> list[Plate]:
    """The study's figures, the most telling one first."""
    if study.explores:
        return [
            Plate(
                "exploration",
                "What random behaviour does",
                "Share of held-out episodes, without any learning; bars are means over tasks, "
                "points are tasks.",
                exploration_bars,
            )
        ]
    if compares_data(study):
        first = Plate(
            "mismatch",
            "Data that match the task, and data that do not",
            f"Interquartile mean of held-out success with {_INTERVALS}. Matched: the prior's data "
            "have this kind of task; mismatched: they do not; remedy: nor do they, but something "
            "else makes up for it.",
            mismatch_bars,
        )
    elif study.varies_data:
        first = Plate(
            "data-size",
            "Success against the number of demonstrations",
            f"Interquartile mean of held-out success with {_INTERVALS}.",
            data_size_curves,
        )
    else:
        success = Plate(
            "success",
            "Success of the last checkpoint",
            f"Interquartile mean over tasks and seeds of held-out success, with {_INTERVALS}.",
            success_bars,
        )
        judged = [_JUDGED] if study.judges else []
        return [*judged, success, *_curves(study), *_comparison(study)]
    return [first, *_curves(study, over_tasks=not compares_data(study))]


def _comparison(study: Study) -> list[Plate]:
    if len(study.variants) < 2:
        return []
    first = study.name(study.variants[0])
    found = [
        Plate(
            "profiles",
            "Performance profiles",
            f"Share of runs whose held-out success is above the value below, with {_INTERVALS}. A "
            "curve that is higher everywhere is better whatever one counts as success."
            f"{_grey(study)}",
            panels=profile_panels(study),
            axes=("held-out success above", "share of runs"),
        ),
    ]
    if improvements(study):
        found.append(
            Plate(
                "improvement",
                f"How probably {first} is better",
                f"Probability that a run with {first} has more held-out success than a run of the "
                f"other on the same task, mean over tasks, with {_INTERVALS}. Ties count half.",
                improvement_points,
            )
        )
    return found


def _curves(study: Study, *, over_tasks: bool = True) -> list[Plate]:
    if not study.has_curves:
        return []
    mean = Plate(
        "mean-curves",
        "Learning, all tasks",
        f"Against env steps, the interquartile mean over tasks and seeds of the {_CURVES}, with "
        f"{_INTERVALS}.{_grey(study)}",
        panels=mean_curve_panels(study),
    )
    tasks = Plate(
        "task-curves",
        "Learning, task by task",
        f"Against env steps, the mean over seeds of the {_CURVES}; the band is from the lowest to "
        f"the highest seed.{_grey(study)}",
        panels=task_curve_panels(study),
    )
    return [mean, tasks] if over_tasks else [tasks]


def _grey(study: Study) -> str:
    """What the grey line of panels is, where there are so many that each shows one beside it."""
    crowded = is_crowded(study.variants)
    return f" Grey: {study.name(study.variants[0])}, the same in each panel." if crowded else ""


def save_figures(study: Study, folder: Path) -> list[Path]:
    """Write the study's figures as PNGs, named after study and figure."""
    paths = []
    with drawing():
        for plate in plates(study):
            path = folder / f"{study.slug}-{plate.name}.png"
            save_png(plate.draw(study), path)
            paths.append(path)
    return paths
