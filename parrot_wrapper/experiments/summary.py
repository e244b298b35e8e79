"""What a study found, in sentences; what a reader has to know about it; both as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parrot_wrapper.experiments import tables
from parrot_wrapper.experiments.mismatch import KINDS, compares_data, mismatch_rows
from parrot_wrapper.experiments.statistics import Estimate, estimate_iqm
from parrot_wrapper.experiments.study import Study, Variant, task_name
from parrot_wrapper.experiments.tables import LEVELS, exploration_shares, fastest

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


def report_markdown(studies: Sequence[Study]) -> str:
    """The findings and main tables of some studies."""
    return "\n\n".join(part for study in studies for part in _parts(study)) + "\n"


def _parts(study: Study) -> list[str]:
    parts = [f"## {title(study)}", "\n".join(findings(study))]
    notes = cautions(study)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    if study.explores:
        return [*parts, tables.exploration_table(study).markdown()]
    if compares_data(study):
        parts.append(tables.mismatch_table(study).markdown())
    else:
        parts.append(tables.method_table(study).markdown())
    return [*parts, tables.task_table(study).markdown()]


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
