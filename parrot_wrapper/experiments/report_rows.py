"""Result rows of either kind in one form for the report, and what their grid has planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.experiments.places import GRID_FILE, read_grid
from parrot_wrapper.experiments.rows import (
    ExplorationRow,
    ResultRow,
    Share,
    read_exploration_rows,
    read_rows,
)
from parrot_wrapper.experiments.runs import RunKey
from parrot_wrapper.names import absence


@dataclass(frozen=True)
class ReportRow:
    """A finished run, with RL or without; see `rows` for what is not told here.

    Attributes:
        key: What tells it apart from the grid's other runs.
        success: Held-out success on the last step of an episode; without RL, on any step.
        lifted: Share of episodes in which anything is lifted; None with RL.
        placed: Share of episodes in which anything is placed; None with RL.
        config: Settings of the RL run; empty without RL.
        env_steps: Env steps of training; 0 without RL.
        curve: (env steps, success in training) of bins; empty without RL.
    """

    grid: str
    setting: str
    task: str
    method: str
    prior_seed: int
    rl_seed: int
    data_episodes: int | None
    labels: Mapping[str, str]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    wall_seconds: float
    finished: str
    key: RunKey
    success: Share
    success_once: Share
    lifted: Share | None = None
    placed: Share | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    env_steps: int = 0
    curve: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, row: ResultRow | ExplorationRow) -> ReportRow:
        """A row in the report's form."""
        known = [entry.name for entry in fields(cls) if hasattr(row, entry.name)]
        values = {name: getattr(row, name) for name in known}
        return cls(**{"success": row.success_once, **values})


def load_rows(folder: str | Path) -> list[ReportRow]:
    """All rows of a results folder; a torn last line (a killed run) is left out.

    Raises:
        DataFileError: No rows there, a damaged line, or rows of a newer format.
    """
    rows: list[ResultRow | ExplorationRow] = []
    if as_path("folder", folder).is_dir():
        rows = [*read_rows(folder), *read_exploration_rows(folder)]
    if not rows:
        raise DataFileError(
            f"{folder}: expected a folder with the rows of one finished run at least, as `parrot "
            f"experiment` writes them ({ResultRow.file_name} or {ExplorationRow.file_name}), "
            f"found none.{absence(as_path('folder', folder))}"
        )
    return [ReportRow.of(row) for row in rows]


def load_plan(folder: str | Path) -> frozenset[RunKey]:
    """The keys of all runs of the grid of a results folder; empty where it does not say.

    Raises:
        DataFileError: A damaged description of the grid.
    """
    path = as_path("folder", folder) / GRID_FILE
    return frozenset(run.key for run in read_grid(path).runs()) if path.is_file() else frozenset()
