"""What a study found, in sentences and in tables: cells of text for Markdown and the page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_tagged
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.rows import ResultRow
from parrot_wrapper.experiments.statistics import (
    Estimate,
    estimate_iqm,
    estimate_mean,
    median_steps,
    steps_to,
)
from parrot_wrapper.experiments.study import (
    KINDS,
    Study,
    Variant,
    compares_data,
    mismatch_rows,
    task_name,
)
from parrot_wrapper.rl.config import RLConfig, with_current_names

LEVELS = (0.5, 0.8)
"""Success rates whose first reach is reported, in env steps."""

_OF_THE_RUN = ("env_id", "seed", "device")
"""Settings that tell the runs of one method apart; they stand elsewhere in the report."""
_SHOWN = 3
_UNSET = "-"


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
    header = ["method", "IQM success", "mean", "lowest task"]
    header += [f"steps to {100 * level:.0f} %" for level in LEVELS] if study.has_curves else []
    found = sorted(study.variants, key=lambda v: -estimate_iqm(study.scores(v)).value)
    rows = []
    for variant in found:
        runs, scores = study.of(variant), study.scores(variant)
        means = [float(values.mean()) for values in scores.values()]
        cells = [
            study.label(variant),
            str(estimate_iqm(scores)),
            f"{np.mean(means):.2f}",
            f"{min(means):.2f}",
        ]
        if study.has_curves:
            cells += [reached(runs, level) for level in LEVELS]
        rows.append((*cells, minutes([row.wall_seconds for row in runs]), str(len(runs))))
    return Table((*header, "minutes a run", "runs"), tuple(rows), tuple(found))


def main_table(study: Study) -> Table:
    """What the study compares, in the table that says most of it."""
    if study.explores:
        return exploration_table(study)
    return mismatch_table(study) if compares_data(study) else method_table(study)


def task_table(study: Study) -> Table:
    """Held-out success of each variant on each task, means over runs."""

    def cell(variant: Variant, task: str) -> str:
        scores = study.scores(variant, [task]).get(task)
        return "-" if scores is None else str(estimate_mean(scores))

    return _by_task(study, cell)


def steps_table(study: Study) -> Table:
    """Env steps to each level of each variant on each task: the median over its runs."""

    def cell(variant: Variant, task: str) -> str:
        runs = study.by_task(variant, [task]).get(task, [])
        medians = [median_steps([steps_to(row.curve, level) for row in runs]) for level in LEVELS]
        return " / ".join(step_count(steps) for steps in medians) if runs else "-"

    return _by_task(study, cell)


def _by_task(study: Study, cell: Callable[[Variant, str], str]) -> Table:
    """A row for each task and a column for each variant; the other way where that is narrower."""
    variants, tasks = study.variants, study.tasks
    if len(variants) > len(tasks):
        rows = [(study.name(v), *(cell(v, task) for task in tasks)) for v in variants]
        return Table(("method", *map(task_name, tasks)), tuple(rows), variants)
    rows = [(task_name(task), *(cell(v, task) for v in variants)) for task in tasks]
    return Table(("task", *map(study.name, variants)), tuple(rows))


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
        ("tasks", "data of the prior", "match", "IQM success", "runs"),
        tuple(
            (KINDS[row.kind], row.name, row.group, str(row.estimate), str(row.runs)) for row in rows
        ),
        texts=3,
    )


def reached(runs: Sequence[ResultRow], level: float) -> str:
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


def fastest(study: Study) -> tuple[ResultRow, float] | None:
    """The run first at the highest level by wall-clock, and after how many seconds of training.

    Training time is taken as even over the run's env steps; None if no run reached the level.
    """
    level = LEVELS[-1]
    times = [
        (row.wall_seconds * steps_to(row.curve, level) / row.env_steps, i)
        for i, row in enumerate(study.rows)
        if row.env_steps and math.isfinite(steps_to(row.curve, level))
    ]
    if not times:
        return None
    seconds, place = min(times)
    return study.rows[place], seconds


def differences(study: Study) -> Table:
    """Settings that are not the same in all runs: those of the first variant, then what differs."""
    values = _values(study)
    names = [name for name, found in values.items() if len({v for v in found if v}) > 1]
    if not names:
        return Table(("method", "settings"), ())
    rows = []
    for place, variant in enumerate(study.variants):
        own = {name: values[name][place] for name in names if values[name][place]}
        unlike = [n for n in own if place == 0 or own[n] != values[n][0]]
        told = ", ".join(f"{name}: {_told(own[name])}" for name in unlike)
        rows.append((study.name(variant), told or ("no settings" if not own else "the same")))
    return Table(("method", "settings"), tuple(rows), study.variants, texts=2)


def common(study: Study) -> Table:
    """Settings that all runs share."""
    values = _values(study)
    same = {name: {v for v in found if v} for name, found in values.items()}
    rows = tuple((name, _told(next(iter(v)))) for name, v in same.items() if len(v) == 1)
    return Table(("setting", "value"), rows, texts=2)


def versions(study: Study) -> Table:
    """Versions of packages, several where runs had different ones."""
    found: dict[str, list[str]] = {}
    for row in study.rows:
        for package, version in row.versions.items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    rows = tuple((package, ", ".join(found[package])) for package in sorted(found))
    return Table(("package", "version"), rows, texts=2)


def machines(study: Study) -> list[str]:
    """The machines that runs were made on, as text."""
    kinds = dict.fromkeys(tuple(sorted(row.machine.items())) for row in study.rows)
    return [", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in kind) for kind in kinds]


def _values(study: Study) -> dict[str, list[tuple[str, ...]]]:
    """Setting to the texts of its values, for each variant; empty where a variant has no config.

    A row that was made before there was a setting has its default.
    """
    defaults = _flat({entry.name: entry.default for entry in fields(RLConfig)})
    configs = [
        [_flat(with_current_names(row.config)) for row in study.of(v) if row.config]
        for v in study.variants
    ]
    names = dict.fromkeys(key for runs in configs for config in runs for key in config)
    return {
        name: [
            tuple(sorted({_text(config.get(name, defaults.get(name, _UNSET))) for config in runs}))
            for runs in configs
        ]
        for name in names
        if name not in _OF_THE_RUN
    }


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those in a dataclass, or what JSON has in its place, beside the others."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        settings = as_tagged(value) if is_dataclass(value) else value
        if isinstance(settings, Mapping) and "kind" in settings:
            flat[name] = settings["kind"]
            flat |= {f"{name}.{key}": each for key, each in settings.items() if key != "kind"}
        else:
            flat[name] = settings
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=as_tagged)


def _told(texts: tuple[str, ...]) -> str:
    """The values of a setting; of many the first few."""
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or _UNSET


_LOW = 0.5
"""A task counts as learned from this success on."""


def title(study: Study) -> str:
    """Name of a study with its setting."""
    return f"{study.grid[:1].upper()}{study.grid[1:]}, {study.setting} setting"


def findings(study: Study) -> list[str]:
    """The study's result in a few sentences, the main one first."""
    if study.explores:
        return _exploration(study)
    if compares_data(study):
        return _mismatch(study)
    if study.varies_data:
        return [*_data_size(study), *_fastest(study)]
    return [*_comparison(study), *_fastest(study)]


def cautions(study: Study) -> list[str]:
    """What is missing or makes numbers less sure, a sentence each."""
    notes = []
    if study.missing:
        done = len(study.planned) - sum(study.missing.values())
        lacking = ", ".join(f"{study.alone(name).name} {n}" for name, n in study.missing.items())
        notes.append(
            f"Unfinished: {done} of {len(study.planned)} runs are done. Missing runs: {lacking}."
        )
    runs = [len(rows) for v in study.variants for rows in study.by_task(v).values()]
    if not study.explores and max(runs) < 2:
        notes.append("One run a task: there are no intervals.")
    elif not study.explores and min(runs) != max(runs):
        notes.append(
            f"Tasks have {min(runs)} to {max(runs)} runs: intervals are too narrow where one task "
            "has a single run."
        )
    unlike = len(study.shared_tasks) < len(study.tasks)
    if unlike and not compares_data(study):
        shared = ", ".join(task_name(task) for task in study.shared_tasks) or "none"
        notes.append(
            "Not all methods have runs of all tasks: their means over tasks are not of the same. "
            f"All have: {shared}."
        )
    lengths = sorted({row.env_steps for row in study.rows})
    if len(lengths) > 1:
        notes.append(f"Runs have different lengths: {', '.join(f'{n:,}' for n in lengths)} steps.")
    return notes


def _comparison(study: Study) -> list[str]:
    found = [(variant, estimate_iqm(study.scores(variant))) for variant in study.variants]
    found.sort(key=lambda pair: -pair[1].value)
    best, estimate = found[0]
    text = (
        f"{best.name}: {estimate} of held-out episodes end in success "
        f"(interquartile mean over {_extent(study, best)})."
    )
    if len(found) > 1:
        text += f" Next: {found[1][0].name}, {found[1][1]}; {_overlap(estimate, found[1][1])}."
    scores = study.scores(best)
    means = {task: float(values.mean()) for task, values in scores.items()}
    lowest = min(means, key=lambda task: means[task])
    reached = sum(mean >= _LOW for mean in means.values())
    return [
        text,
        f"With {best.name}, {reached} of {_count(len(means), 'task')} at {_LOW:g} or above; the "
        f"lowest: {task_name(lowest)}, {means[lowest]:.2f}.",
    ]


def _extent(study: Study, variant: Variant) -> str:
    rows = study.of(variant)
    tasks = len({row.task for row in rows})
    steps = max(row.env_steps for row in rows)
    return f"{_count(tasks, 'task')}, {_count(len(rows), 'run')}, {steps:,} env steps each"


def _overlap(first: Estimate, second: Estimate) -> str:
    if first.low is None or second.high is None:
        return "no intervals yet"
    return "the intervals " + ("do not overlap" if first.low > second.high else "overlap")


def _fastest(study: Study) -> list[str]:
    first = fastest(study)
    if first is None:
        return []
    row, seconds = first
    return [
        f"Fastest to {100 * LEVELS[-1]:.0f} %: {task_name(row.task)} with "
        f"{study.variant(row).name}, after about {seconds / 60:.1f} minutes of training."
    ]


def _data_size(study: Study) -> list[str]:
    texts = []
    for method in study.method_names:
        same = [variant for variant in study.variants if variant.method == method]
        told = []
        for variant in same:
            amount = "no" if variant.data_episodes is None else f"{variant.data_episodes:,}"
            told.append(f"{estimate_iqm(study.scores(variant))} with {amount} demonstrations")
        texts.append(
            f"{study.alone(method).name}: {', '.join(told)} (interquartile mean of success)."
        )
    return texts


def _mismatch(study: Study) -> list[str]:
    texts = []
    for kind, name in KINDS.items():
        best: dict[str, Estimate] = {}
        for row in mismatch_rows(study):
            if row.kind != kind or row.group == "no data":
                continue
            if row.estimate.value >= best.get(row.group, row.estimate).value:
                best[row.group] = row.estimate
        if not best:
            continue
        text = f"{name}: " + ", ".join(f"{group} {estimate}" for group, estimate in best.items())
        if {"matched", "remedy"} <= set(best) and best["matched"].value > 0:
            share = best["remedy"].value / best["matched"].value
            text += f"; the remedy wins {100 * share:.0f} % of the matched prior's success"
        texts.append(f"{text}.")
    return texts


def _exploration(study: Study) -> list[str]:
    shares = exploration_shares(study)
    texts = []
    for variant in study.variants:
        told = [
            f"{name} in {np.mean(p[variant]):.2f}" for name, p in shares.items() if variant in p
        ]
        texts.append(f"{variant.name}: {', '.join(told)} of episodes.")
    return texts


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
