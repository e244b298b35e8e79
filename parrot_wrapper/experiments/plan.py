"""What of a grid is done and what is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parrot_wrapper.errors import DataFileError, InvalidArgumentError, require_known, unknown_name
from parrot_wrapper.experiments.artifacts import Artifact, is_made
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.methods import Run
from parrot_wrapper.experiments.rows import ResultRow, read_rows, row_from_dict
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.rl.logs import EPISODES_FILE, STEPS_KEY

ROW_FILE = "row.json"
"""Where a run's process leaves the row, for its parent to append."""
_TAIL_BYTES = 4096
_USUAL_SECONDS_PER_STEP = {"rl": 0.0146, "exploration": 0.0031}
"""Where no run is done yet: `wall_seconds` by env steps of all rows of results/main-laptop (batch
128) and of results/exploration-laptop, two processes side by side on two cores without a GPU."""
_USUAL_EPISODE_STEPS = 25
_SELECTABLE = ("task", "data", "prior_seed", "rl_seed")


@dataclass(frozen=True)
class Plan:
    """The state of some runs of a grid.

    Attributes:
        runs: All of them, in order.
        rows: Rows of those that are done, in the order of the file.
        made: Artifacts that they need and that are there.
        missing: Artifacts that they need and that are to be made, in order.
    """

    runs: tuple[Run, ...]
    rows: tuple[ResultRow, ...]
    made: tuple[Artifact, ...]
    missing: tuple[Artifact, ...]

    @property
    def left(self) -> tuple[Run, ...]:
        """Runs without a row."""
        done = {row.key for row in self.rows}
        return tuple(run for run in self.runs if run.key not in done)

    def seconds_left(self, places: Places, workers: int) -> float:
        """About how long the runs will take, without what is to be made for them.

        From the rows that there are, those of the same method where there are any.
        """
        spent = [(row.method, row.wall_seconds, _row_steps(row)) for row in self.rows]

        def per_step(run: Run) -> float:
            same = [entry for entry in spent if entry[0] == run.method.name] or spent
            steps = sum(entry[2] for entry in same)
            return sum(e[1] for e in same) / steps if steps else _USUAL_SECONDS_PER_STEP[run.kind]

        total = sum(
            per_step(run) * (weight(run) - steps_so_far(places.run_folder(run)))
            for run in self.left
        )
        return total / max(1, min(workers, len(self.left)))


def make_plan(grid: Grid, runs: Sequence[Run], places: Places) -> Plan:
    """Look at what is there."""
    places.check(grid)
    keys = {run.key for run in runs}
    rows = tuple(row for row in read_rows(places.results) if row.key in keys)
    done = {row.key for row in rows}
    needed = grid.artifacts(runs)
    wanted = {a.name for a in grid.artifacts([run for run in runs if run.key not in done])}
    made = {artifact.name for artifact in needed if is_made(artifact, places.artifacts)}
    return Plan(
        tuple(runs),
        rows,
        tuple(artifact for artifact in needed if artifact.name in made),
        tuple(a for a in needed if a.name in wanted and a.name not in made),
    )


def weight(run: Run) -> int:
    """Env steps of a run."""
    if run.kind == "exploration":
        return run.evaluation_episodes * _USUAL_EPISODE_STEPS
    return run.env_steps


def left_row(run: Run, folder: Path) -> ResultRow | None:
    """The row that a finished run's process left in its folder."""
    path = folder / ROW_FILE
    if not path.is_file():
        return None
    try:
        content = parse_json(path.read_bytes())
        row = row_from_dict(content, explores=run.kind == "exploration")
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path}: {error}.") from error
    if row.key != run.key:
        raise DataFileError(f"{path}: expected the row of {run.id}, found one of {row.key}.")
    return row


def steps_so_far(run_folder: Path) -> int:
    """Env steps of training so far, to the end of the last episode; 0 before the first."""
    try:
        with (run_folder / EPISODES_FILE).open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return int(parse_json(line)[STEPS_KEY])
        except (ValueError, KeyError, TypeError):
            continue  # torn, or the first half is before the tail
    return 0


def select_runs(runs: Sequence[Run], only: Sequence[str]) -> tuple[Run, ...]:
    """The runs that a selection leaves.

    Args:
        runs: Runs of a grid.
        only: Parts of the form "key=value" or "key=value,key=value"; of the same key any may
            hold, of different ones all. Keys are task, method, data, prior_seed, rl_seed and the
            runs' labels.
    """
    wanted: dict[str, set[str]] = {}
    for part in ",".join(only).split(",") if only else ():
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise InvalidArgumentError(f"Expected a selection of the form key=value, got {part!r}.")
        wanted.setdefault(key, set()).add(value)
    facts = [_facts(run) for run in runs]
    for key, values in wanted.items():
        there = {fact[key] for fact in facts if key in fact}
        if not there:
            raise unknown_name("key to select runs by", key, {k for fact in facts for k in fact})
        require_known(f"{key} of the grid", values, there)
    return tuple(
        run
        for run, fact in zip(runs, facts, strict=True)
        if all(fact.get(key) in values for key, values in wanted.items())
    )


def _facts(run: Run) -> dict[str, str]:
    facts = {name: str(getattr(run, name)) for name in _SELECTABLE}
    return {**run.labels, **facts, "method": run.method.name}


def _row_steps(row: ResultRow) -> int:
    return row.success_once.episodes * _USUAL_EPISODE_STEPS if row.explores else row.env_steps
