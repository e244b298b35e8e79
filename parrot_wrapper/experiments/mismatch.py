"""Mismatch of data and task: which runs have a prior that saw what their task needs."""

from __future__ import annotations

from dataclasses import dataclass

from parrot_wrapper.experiments.statistics import Estimate, estimate_iqm
from parrot_wrapper.experiments.study import Study, Variant, task_kind

DATA_LABEL = "prior_data"
"""The label that says what a prior was learned from: "grasp-only", "place-only" or "both"."""
KINDS = {"grasp": "Grasp tasks", "place": "Place tasks", "other": "Other tasks"}
GROUPS = ("matched", "mismatched", "remedy", "no data")
"""What a run's data are to its task; "no data" for methods without any."""


@dataclass(frozen=True)
class MismatchRow:
    """One way to a kind of task.

    Attributes:
        kind: Kind of the tasks, a key of `KINDS`.
        group: One of `GROUPS`. A remedy is any variant of a method ("parrot+...") whose data do
            not have the kind of task.
        name: Of what was run: the data, and what else there is beside the plain method.
        estimate: IQM of held-out success over these tasks.
        runs: How many runs that is of.
    """

    kind: str
    group: str
    name: str
    estimate: Estimate
    runs: int


def compares_data(study: Study) -> bool:
    """Whether the study is about kinds of data."""
    return any(DATA_LABEL in dict(variant.labels) for variant in study.variants)


def mismatch_rows(study: Study) -> list[MismatchRow]:
    """Success on each kind of task with each data, in the order of `GROUPS`."""
    found: list[MismatchRow] = []
    for kind in KINDS:
        tasks = [task for task in study.tasks if task_kind(task) == kind]
        rows = []
        for variant in study.variants:
            scores = study.scores(variant, tasks)
            if scores:
                estimate, runs = estimate_iqm(scores), sum(map(len, scores.values()))
                rows.append(
                    MismatchRow(kind, _group(variant, kind), study.name(variant), estimate, runs)
                )
        found += sorted(rows, key=lambda row: GROUPS.index(row.group))
    return found


def _group(variant: Variant, kind: str) -> str:
    data = dict(variant.labels).get(DATA_LABEL, "")
    if not data:
        return "no data"
    if data == "both" or kind == "other" or kind in data:
        return "matched"
    return "remedy" if "+" in variant.method else "mismatched"
