"""The folders of a grid, and the file in them that says which grid it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrot_wrapper.checks import as_path, differences
from parrot_wrapper.errors import DataFileError, InvalidArgumentError, ParrotError, absence
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.methods import Run, run_config
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json

GRID_FILE = "grid.json"
_AXES = ("tasks", "methods", "rl", "prior_seeds", "rl_seeds", "data")
"""A grid may grow or shrink along these without a new folder; data have a check of their own."""
_OF_A_RUN = ("env_id", "env_kwargs", "seed", "total_steps")
"""Of an agent's settings, what differs between the runs of a method, or is compared already."""


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
        """Refuse folders of a grid with other settings."""
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
    """A grid from a JSON file: the fields of `Grid` by name."""
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
    found, wanted = _fixed(old, new), _fixed(new, old)
    common = found.keys() & wanted.keys()
    there, given = ({key: told[key] for key in told if key in common} for told in (found, wanted))
    if different := differences(there, given):
        raise InvalidArgumentError(
            f"{folder} holds a grid with other settings ({different}); choose other folders, or "
            "give the grid another name."
        )


def _fixed(grid: Grid, other: Grid) -> Mapping[str, Any]:
    """What must be alike; of methods how those act that both have, whatever it was once called."""
    fixed = {key: value for key, value in grid.to_dict().items() if key not in _AXES}
    common = {method.name for method in other.methods}
    first = {run.method.name: run for run in reversed(grid.runs()) if run.method.name in common}
    for name, run in first.items():
        fixed[f"{name} needs"] = sorted(run.needs)
        if run.kind == "rl":
            config = run_config(run, dict.fromkeys(run.needs, "placeholder")).to_dict()
            fixed |= {f"{name} {key}": v for key, v in config.items() if key not in _OF_A_RUN}
    return fixed
