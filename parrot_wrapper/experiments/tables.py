"""The report's tables: as cells of text, for Markdown and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.learning_curves import steps_to
from parrot_wrapper.experiments.mismatch import KINDS, mismatch_rows
from parrot_wrapper.experiments.report_rows import ReportRow
from parrot_wrapper.experiments.statistics import estimate_iqm, estimate_mean, median_steps
from parrot_wrapper.experiments.study import Study, Variant, task_name

LEVELS = (0.5, 0.8)
"""Success rates whose first reach is reported, in env steps."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        header: Names of the columns.
        rows: Cells, one for each column.
        about: The variant that each row is about, in order; empty where rows are of other things.
        texts: So many columns from the left hold words, the others numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    about: tuple[Variant, ...] = ()
    texts: int = 1

    def markdown(self) -> str:
        """As Markdown; what Markdown would read as a new column is escaped."""
        rows = [[cell.replace("|", "\\|") for cell in row] for row in self.rows]
        return markdown_table(list(self.header), rows)


def method_table(study: Study) -> Table:
    """One row a variant, best first: success over all tasks, steps to levels, wall-clock."""
    header = ["method", "runs", "IQM success", "mean", "lowest task"]
    header += [f"steps to {100 * level:.0f} %" for level in LEVELS] if study.has_curves else []
    found = sorted(study.variants, key=lambda v: -estimate_iqm(study.scores(v)).value)
    rows = []
    for variant in found:
        runs, scores = study.of(variant), study.scores(variant)
        means = [float(values.mean()) for values in scores.values()]
        cells = [
            study.label(variant),
            str(len(runs)),
            str(estimate_iqm(scores)),
            f"{np.mean(means):.2f}",
            f"{min(means):.2f}",
        ]
        if study.has_curves:
            cells += [reached(runs, level) for level in LEVELS]
        rows.append((*cells, minutes([row.wall_seconds for row in runs])))
    return Table((*header, "minutes a run"), tuple(rows), tuple(found))


def task_table(study: Study) -> Table:
    """Held-out success of each variant on each task, means over runs."""
    rows = []
    for task in study.tasks:
        cells = [task_name(task)]
        for variant in study.variants:
            scores = study.scores(variant, [task]).get(task)
            cells.append("-" if scores is None else str(estimate_mean(scores)))
        rows.append(tuple(cells))
    return Table(("task", *(v.name for v in study.variants)), tuple(rows))


def steps_table(study: Study) -> Table:
    """Env steps to each level of each variant on each task: the median over its runs."""
    rows = []
    for task in study.tasks:
        cells = [task_name(task)]
        for variant in study.variants:
            runs = study.by_task(variant, [task]).get(task, [])
            medians = (
                median_steps([steps_to(row.curve, level) for row in runs]) for level in LEVELS
            )
            cells.append(" / ".join(step_count(steps) for steps in medians) if runs else "-")
        rows.append(tuple(cells))
    return Table(("task", *(v.name for v in study.variants)), tuple(rows))


def exploration_table(study: Study) -> Table:
    """Share of episodes in which anything was lifted or placed, or the task done, by variant."""
    shares = exploration_shares(study)
    rows = []
    for variant in study.variants:
        values = (part.get(variant) for part in shares.values())
        told = ("-" if found is None else f"{np.mean(found):.2f}" for found in values)
        rows.append((variant.name, str(len(study.of(variant))), *told))
    return Table(("behaviour", "tasks", *shares), tuple(rows), study.variants)


def exploration_shares(study: Study) -> dict[str, dict[Variant, Sequence[float]]]:
    """What happened ("anything lifted", ...) to the shares of episodes of each variant, by run."""
    parts: dict[str, dict[Variant, Sequence[float]]] = {}
    names = {"anything lifted": "lifted", "anything placed": "placed", "task done": "success_once"}
    for name, key in names.items():
        for variant in study.variants:
            shares = [getattr(row, key) for row in study.of(variant)]
            known = [share.value for share in shares if share is not None]
            if known:
                parts.setdefault(name, {})[variant] = known
    return parts


def mismatch_table(study: Study) -> Table:
    """Success on each kind of task with each data, and whether these match."""
    rows = mismatch_rows(study)
    return Table(
        ("tasks", "data of the prior", "match", "runs", "IQM success"),
        tuple(
            (KINDS[row.kind], row.name, row.group, str(row.runs), str(row.estimate)) for row in rows
        ),
        texts=3,
    )


def reached(runs: Sequence[ReportRow], level: float) -> str:
    """Median env steps to a level over runs, and how many runs reached it."""
    steps = [steps_to(row.curve, level) for row in runs]
    count = sum(map(math.isfinite, steps))
    return f"{step_count(median_steps(steps))} ({count}/{len(steps)})"


def step_count(steps: float) -> str:
    """Env steps as text, a dash for never.

    Example:
        >>> step_count(12_000), step_count(float("inf"))
        ('12,000', '-')
    """
    return f"{steps:,.0f}" if math.isfinite(steps) else "-"


def minutes(seconds: Sequence[float]) -> str:
    """Median of some times, as minutes.

    Example:
        >>> minutes([30.0, 420.0, 480.0])
        '7.0'
    """
    return f"{float(np.median(seconds)) / 60.0:.1f}"


def fastest(study: Study, level: float = LEVELS[-1]) -> tuple[ReportRow, float] | None:
    """The run that was first at a level by wall-clock, and after how many seconds of training.

    Training time is taken as even over the run's env steps; None if no run reached the level.
    """
    times = [
        (row.wall_seconds * steps_to(row.curve, level) / row.env_steps, i)
        for i, row in enumerate(study.rows)
        if row.env_steps and math.isfinite(steps_to(row.curve, level))
    ]
    if not times:
        return None
    seconds, place = min(times)
    return study.rows[place], seconds
