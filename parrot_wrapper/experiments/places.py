"""Where a grid's runs, artifacts and results are, and whether they are this grid's."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import DataFileError, InvalidArgumentError, ParrotError, absence
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.runs import Run
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.rl.config import with_current_names

GRID_FILE = "grid.json"
_AXES = ("tasks", "methods", "prior_seeds", "rl_seeds", "data", "method_data")
"""A grid may grow or shrink along these without a new folder; data have a check of their own."""


@dataclass(frozen=True)
class Places:
    """Folders of a grid.

    Attributes:
        results: Its rows; what is worth keeping.
        runs: Its runs and artifacts, one folder each.
    """

    results: Path
    runs: Path

    @property
    def artifacts(self) -> Path:
        """Folder of what runs need."""
        return self.runs / "artifacts"

    def run_folder(self, run: Run) -> Path:
        """Folder of a run."""
        return self.runs / run.id

    def run_log(self, run: Run) -> Path:
        """What a run's process writes to its output."""
        return self.run_folder(run) / "run.log"

    def artifact_log(self, name: str) -> Path:
        """What the making of an artifact writes to its output."""
        return self.artifacts / f"{name}.log"

    def check(self, grid: Grid) -> None:
        """Refuse folders of a grid with other settings.

        Raises:
            InvalidArgumentError: They disagree on more than tasks, methods, seeds and data.
            DataFileError: A damaged `grid.json`.
        """
        for folder in (self.results, self.runs):
            path = folder / GRID_FILE
            if path.is_file():
                _require_same(folder, read_grid(path), grid)

    def claim(self, grid: Grid) -> None:
        """Write the grid beside its results and its runs; see `check` for what is refused."""
        self.check(grid)
        for folder in (self.results, self.runs):
            write_json(folder / GRID_FILE, grid.to_dict())


def read_grid(path: str | Path) -> Grid:
    """A grid from a JSON file: the fields of `Grid` by name.

    Raises:
        DataFileError: No such file, no JSON, or a field that is unknown, missing or out of range;
            file and field are named.
    """
    try:
        content = parse_json(as_path("path", path).read_bytes())
    except (OSError, ValueError) as error:
        raise DataFileError(
            f"{path}: expected a grid's JSON ({error}).{absence(as_path('path', path))}"
        ) from error
    try:
        return Grid.from_dict(content)
    except (ParrotError, AttributeError, LookupError, OverflowError, TypeError) as error:
        raise DataFileError(f"{path}: {error}") from error


def _require_same(folder: Path, old: Grid, new: Grid) -> None:
    common = old.method_rl.keys() & new.method_rl.keys()  # a grid may get more variants
    changed = {name for name in common if not _same_rl(old.method_rl[name], new.method_rl[name])}
    there, given = _fixed(old, changed), _fixed(new, changed)
    different = [
        f"{key}: {there[key]!r} there, {given[key]!r} given"
        for key in given
        if there[key] != given[key]
    ]
    if different:
        raise InvalidArgumentError(
            f"{folder} holds a grid with other settings ({'; '.join(different)}); choose other "
            "folders, or give the grid another name."
        )


def _same_rl(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether settings are the same, be it under names that they had before."""
    return old == new or with_current_names(old) == with_current_names(new)


def _fixed(grid: Grid, variants: Set[str]) -> Mapping[str, Any]:
    values = {key: value for key, value in grid.to_dict().items() if key not in _AXES}
    return {**values, "method_rl": {name: grid.method_rl[name] for name in sorted(variants)}}
