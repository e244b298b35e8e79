"""A study: the result rows of one grid in one setting, sorted by what is compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import DataError, DataFileError, absence
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import GRID_FILE, read_grid
from parrot_wrapper.experiments.methods import METHODS, Method, RunKey
from parrot_wrapper.experiments.rows import ROW_FILES, ResultRow, read_rows
from parrot_wrapper.experiments.statistics import (
    Estimate,
    Values,
    curve_points,
    curve_steps,
    estimate_iqm,
    smoothed,
)


@dataclass(frozen=True)
class Variant:
    """What a study compares: a method, with its data and labels where these differ.

    Attributes:
        method: As in the rows.
        data_episodes: Demonstrations, where the study varies them.
        labels: The labels that the study varies, as (key, value) in order of key.
        shown: The method's label and colour, where its grid tells; else those of ours.
    """

    method: str
    data_episodes: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    shown: Method | None = field(default=None, compare=False, repr=False)

    @property
    def base(self) -> str:
        """The method without its "+variant"."""
        return self.method.partition("+")[0]

    @property
    def colour(self) -> str:
        """Its method's colour; empty where that has none."""
        return self._as_shown.colour if self._as_shown else ""

    @property
    def _as_shown(self) -> Method | None:
        return self.shown or METHODS.get(self.base)

    @property
    def name(self) -> str:
        """Its name in tables and figures.

        Example:
            >>> Variant("parrot+residual", 5_000, (("prior_data", "grasp-only"),)).name
            'PARROT + residual, 5,000 demonstrations, grasp-only'
        """
        label, extra = self._as_shown and self._as_shown.label, self.method.partition("+")[2]
        parts = [" + ".join(filter(None, [label or self.base, extra]))]
        if self.data_episodes is not None:
            parts.append(f"{self.data_episodes:,} demonstrations")
        return ", ".join([*parts, *(value for _, value in self.labels if value)])

    @property
    def order(self) -> tuple[int, str, int, tuple[tuple[str, str], ...]]:
        """Sorts variants: methods as in `METHODS`, then their variants, data and labels."""
        known = list(METHODS)
        place = known.index(self.base) if self.base in known else len(known)
        return place, self.method, self.data_episodes or 0, self.labels


@dataclass(frozen=True)
class Study:
    """All runs of one grid in one setting.

    Attributes:
        grid: Name of the grid.
        setting: Its setting.
        rows: The finished runs, at least one.
        planned: The keys of all runs of the grid, finished or not; empty where they are not known.
        methods: The grid's methods by name; ours where one is not known.
    """

    grid: str
    setting: str
    rows: Sequence[ResultRow]
    planned: frozenset[RunKey] = frozenset()
    methods: Mapping[str, Method] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = Counter(row.key for row in self.rows)
        doubled = next((key for key, count in counts.items() if count > 1), None)
        if doubled is not None:
            raise DataError(
                f"Grid {self.grid} ({self.setting}): expected one row for each run, got "
                f"{counts[doubled]} for {doubled}. Were two folders of the same runs given?"
            )

    @property
    def slug(self) -> str:
        """A name for files and anchors."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.grid}-{self.setting}".lower()).strip("-")

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """What is compared, in the report's order."""
        return tuple(sorted({self.variant(row) for row in self.rows}, key=lambda v: v.order))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Env ids: grasp tasks first, then by name."""
        return tuple(sorted({row.task for row in self.rows}, key=lambda t: (task_kind(t), t)))

    @cached_property
    def _varies(self) -> tuple[bool, frozenset[str]]:
        """Whether one method has several amounts of data, and which labels differ."""
        amounts: dict[str, set[int | None]] = {}
        for row in self.rows:
            amounts.setdefault(row.method, set()).add(row.data_episodes)
        keys = set().union(*(row.labels for row in self.rows))
        differ = {key for key in keys if len({row.labels.get(key, "") for row in self.rows}) > 1}
        return any(len(amount) > 1 for amount in amounts.values()), frozenset(differ)

    def variant(self, row: ResultRow) -> Variant:
        """What a row is a run of."""
        by_data, keys = self._varies
        labels = tuple((key, row.labels.get(key, "")) for key in sorted(keys))
        amount = row.data_episodes if by_data else None
        return Variant(row.method, amount, labels, self.methods.get(row.method))

    @property
    def method_names(self) -> tuple[str, ...]:
        """Methods with a run, in the report's order."""
        return tuple(dict.fromkeys(variant.method for variant in self.variants))

    def alone(self, method: str) -> Variant:
        """A method without data and labels."""
        return Variant(method, shown=self.methods.get(method))

    def of(self, variant: Variant) -> list[ResultRow]:
        """The rows of a variant."""
        return [row for row in self.rows if self.variant(row) == variant]

    def by_task(
        self, variant: Variant, tasks: Iterable[str] | None = None
    ) -> dict[str, list[ResultRow]]:
        """The rows of a variant for each task that it has, in the order of `tasks`."""
        found: dict[str, list[ResultRow]] = {}
        rows = self.of(variant)
        for task in self.tasks if tasks is None else tasks:
            runs = [row for row in rows if row.task == task]
            if runs:
                found[task] = runs
        return found

    def scores(self, variant: Variant, tasks: Iterable[str] | None = None) -> dict[str, Values]:
        """Task to the held-out success (runs,) of a variant."""
        found = self.by_task(variant, tasks)
        return {task: np.array([row.score.value for row in runs]) for task, runs in found.items()}

    def curves(
        self, variant: Variant, tasks: Iterable[str] | None = None
    ) -> tuple[Values, dict[str, Values]]:
        """Env steps (T,), and task to smoothed curves (runs, T) of a variant at these steps.

        The steps are those that all its runs have; (0,) where there are no curves.
        """
        found = self.by_task(variant, tasks)
        steps = curve_steps([row.curve for runs in found.values() for row in runs])
        curves = {
            task: np.stack([curve_points(smoothed(row.curve), steps) for row in runs])
            for task, runs in found.items()
        }
        return steps, curves

    @property
    def varies_data(self) -> bool:
        """Whether one method was run with several amounts of demonstrations."""
        return self._varies[0]

    @property
    def has_curves(self) -> bool:
        """Whether there are learning curves."""
        return any(row.curve for row in self.rows)

    @property
    def explores(self) -> bool:
        """Whether these are rollouts of random behaviour, without RL."""
        return all(row.explores for row in self.rows)

    @property
    def judges(self) -> bool:
        """Whether the priors behind the agents were judged before RL."""
        return any(row.judged for row in self.rows)

    def name(self, variant: Variant) -> str:
        """What tells it from the study's others: without the method where all have the same.

        With only a method to tell, that stands there.
        """
        if len({other.base for other in self.variants}) > 1:
            return variant.name
        amount = variant.data_episodes
        parts = [value for _, value in variant.labels]
        parts += [f"{amount:,} demos"] if amount is not None else []
        told = " + ".join(filter(None, [*parts, variant.method.partition("+")[2]]))
        return told or variant.name

    def label(self, variant: Variant) -> str:
        """Its name; with how many tasks it has runs of, where these are not all."""
        count = len(self.by_task(variant))
        partly = f" ({count} of {len(self.tasks)} tasks)" if count < len(self.tasks) else ""
        return self.name(variant) + partly

    @cached_property
    def shared_tasks(self) -> tuple[str, ...]:
        """The tasks that every variant has a run of."""
        return tuple(t for t in self.tasks if all(t in self.by_task(v) for v in self.variants))

    @cached_property
    def missing(self) -> dict[str, int]:
        """Method to how many of its planned runs are not there; empty if none is known to lack."""
        lacking = self.planned - {row.key for row in self.rows}
        return dict(sorted(Counter(key[1] for key in lacking).items()))


def load_rows(folder: str | Path) -> list[ResultRow]:
    """All rows of a results folder; a torn last line (a killed run) is left out."""
    root = as_path("folder", folder)
    rows = read_rows(root) if root.is_dir() else []
    if not rows:
        raise DataFileError(
            f"{folder}: expected a folder with the rows of one finished run at least, as `parrot "
            f"experiment` writes them ({' or '.join(ROW_FILES)}), "
            f"found none.{absence(root)}"
        )
    return rows


def load_grid(folder: str | Path) -> Grid | None:
    """The grid of a results folder; None where it does not say."""
    path = as_path("folder", folder) / GRID_FILE
    return read_grid(path) if path.is_file() else None


def load_studies(folders: Sequence[str | Path]) -> list[Study]:
    """The studies of some results folders; those of the same grid and setting become one study."""
    found: dict[tuple[str, str], tuple[list[ResultRow], set[RunKey], dict[str, Method]]] = {}
    for folder in folders:
        rows = load_rows(folder)
        kinds = sorted({(row.grid, row.setting) for row in rows})
        if len(kinds) > 1:
            told = ", ".join(f"{grid} ({setting})" for grid, setting in kinds)
            raise DataError(
                f"{folder}: expected the rows of one grid in one setting, got {told}. Put each "
                "into a folder of its own."
            )
        all_rows, planned, methods = found.setdefault(kinds[0], ([], set(), {}))
        all_rows.extend(rows)
        if (grid := load_grid(folder)) is not None:
            planned.update(run.key for run in grid.runs())
            methods.update({method.name: method for method in grid.methods})
    return [
        Study(*name, rows, frozenset(planned), methods)
        for name, (rows, planned, methods) in found.items()
    ]


def task_kind(env_id: str) -> str:
    """What an env id says that its task is: "grasp", "place" or "other".

    Example:
        >>> [task_kind(t) for t in ("ParrotGraspCup-v0", "ParrotPickPlace-v0", "Reach-v0")]
        ['grasp', 'place', 'other']
    """
    name = env_id.lower()
    return "place" if "place" in name else "grasp" if "grasp" in name else "other"


def task_name(env_id: str) -> str:
    """An env id as words.

    Example:
        >>> task_name("ParrotPlaceCanInPan-v0")
        'Place can in pan'
    """
    bare = re.sub(r"-v\d+$", "", env_id.rpartition(":")[2].rpartition("/")[2])
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+", bare.removeprefix("Parrot") or bare)
    return " ".join(words).lower().capitalize() if words else env_id


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
