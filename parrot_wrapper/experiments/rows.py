"""Result rows: one JSON object per finished run, one run per line, checked when read.

A results folder holds `rows.jsonl` (RL runs, `ResultRow`), or `exploration.jsonl` (rollouts without
RL, `ExplorationRow`), and `grid.json`, the grid that they are of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.experiments.row_checks import (
    RowError,
    curve,
    mapping,
    number,
    optional_count,
    share,
    text,
    texts_by_name,
    whole,
)
from parrot_wrapper.experiments.runs import RunKey
from parrot_wrapper.io.atomic_files import writing
from parrot_wrapper.io.strict_json import parse_json

FORMAT = 1


@dataclass(frozen=True)
class Share:
    """A share of held-out episodes with its 95 % Wilson interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class _Row:
    """What all rows have.

    Attributes:
        grid: Name of the grid.
        setting: Its setting.
        task: Env id.
        method: A method of the grid.
        prior_seed: Seed of what is learned from data.
        rl_seed: Seed of the agent.
        data_episodes: How many episodes that was learned from; None for nothing.
        labels: Free facts, such as which prior it was.
        versions: Of Python and the libraries.
        machine: "cpu_count", "torch_threads", "processor", and maybe more.
        wall_seconds: Time spent, over all resumed parts: on training, or on the rollouts.
        finished: When, ISO 8601 in UTC.
    """

    file_name: ClassVar[str]

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

    @property
    def key(self) -> RunKey:
        """What the run is known by; equal to the `key` of its `Run`."""
        labels = tuple(sorted(self.labels.items()))
        facts = (self.task, self.method, self.prior_seed, self.rl_seed)
        return (*facts, self.data_episodes, labels)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; with the format's version first."""
        return {"format": FORMAT, **asdict(self)}


@dataclass(frozen=True)
class ResultRow(_Row):
    """An RL run.

    Attributes:
        config: The `RLConfig` as a mapping.
        env_steps: Env steps of training.
        success: Of the last checkpoint on held-out episodes, on their last step.
        success_once: The same on any step.
        curve: Pairs of env steps and success: the share of training episodes that ended
            successful in each 1,000 env steps, whose end stands beside it. The agent samples its
            actions there.
    """

    file_name: ClassVar[str] = "rows.jsonl"

    config: Mapping[str, Any]
    env_steps: int
    success: Share
    success_once: Share
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ExplorationRow(_Row):
    """Rollouts of random behaviour: uniform actions, or samples of a learned part; no RL.

    Attributes:
        lifted: Share of episodes in which any object is lifted; None if the env does not tell.
        placed: The same for placed where the task wants it.
        success_once: Share of episodes in which the task itself is done on any step.
    """

    file_name: ClassVar[str] = "exploration.jsonl"

    lifted: Share | None
    placed: Share | None
    success_once: Share


Row = TypeVar("Row", ResultRow, ExplorationRow)

_CHECKS = {
    "grid": text,
    "setting": text,
    "task": text,
    "method": text,
    "prior_seed": whole,
    "rl_seed": whole,
    "data_episodes": optional_count,
    "labels": texts_by_name,
    "versions": texts_by_name,
    "machine": mapping,
    "wall_seconds": number,
    "finished": text,
    "config": mapping,
    "env_steps": whole,
    "curve": curve,
}
_SHARES = ("success", "success_once", "lifted", "placed")
_MAY_BE_NONE = ("lifted", "placed")


def row_from_dict(kind: type[Row], content: object) -> Row:
    """The inverse of `to_dict`.

    Raises:
        RowError: What was expected and what was found.
    """
    if not isinstance(content, dict):
        raise RowError(f"expected a JSON object, found {content!r}")
    values = dict(content)
    version = values.pop("format", None)
    if version != FORMAT:
        raise RowError(
            f"this installation reads format {FORMAT}, found {version!r}; a newer one needs a "
            "newer parrot-wrapper"
        )
    names = [entry.name for entry in fields(kind)]
    missing, unknown = sorted(set(names) - set(values)), sorted(set(values) - set(names))
    if missing or unknown:
        raise RowError(f"expected the keys of a row; missing: {missing}, unknown: {unknown}")
    for name, value in values.items():
        if name in _SHARES:
            none = value is None and name in _MAY_BE_NONE
            values[name] = None if none else Share(**share(name, value))
        else:
            values[name] = _CHECKS[name](name, value)
    return kind(**values)


def read_rows(folder_or_file: str | Path) -> list[ResultRow]:
    """The finished RL runs of a results folder, or of a file; empty where there is none yet.

    A last line without its end, from a process killed while it wrote, is left out.

    Raises:
        DataFileError: A line is damaged or of a newer format, or two tell of the same run; file
            and line are named.
    """
    return _read(ResultRow, as_path("folder_or_file", folder_or_file))


def read_exploration_rows(folder_or_file: str | Path) -> list[ExplorationRow]:
    """The same for runs without RL.

    Raises:
        DataFileError: As for `read_rows`.
    """
    return _read(ExplorationRow, as_path("folder_or_file", folder_or_file))


def append_row(folder: Path, row: ResultRow | ExplorationRow) -> None:
    """Add a row to a results folder; on disk when this returns.

    A torn last line, left by a kill or a full disk, is removed first. One process at a time may
    write.

    Raises:
        WriteError: The disk is full, the folder read-only, or the like.
    """
    path = folder / row.file_name
    line = json.dumps(row.to_dict(), allow_nan=False) + "\n"
    with writing(path), _appended(path) as stream:
        stream.seek(0)
        content = stream.read()
        stream.truncate(content.rfind(b"\n") + 1)
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())


def _appended(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab+")


def _read(kind: type[Row], place: Path) -> list[Row]:
    path = place / kind.file_name if place.is_dir() else place
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataFileError(f"{path}: expected a file of result rows ({error}).") from error
    whole_lines = content[: content.rfind(b"\n") + 1].splitlines()
    return list(_checked(kind, path, whole_lines))


def _checked(kind: type[Row], path: Path, lines: Iterable[bytes]) -> Iterable[Row]:
    first: dict[RunKey, int] = {}
    for count, line in enumerate(lines, start=1):
        try:
            row = row_from_dict(kind, parse_json(line))
        except RowError as problem:
            raise DataFileError(f"{path}, line {count}: {problem}.") from problem
        except ValueError as error:
            raise DataFileError(f"{path}, line {count}: expected JSON ({error}).") from error
        earlier = first.setdefault(row.key, count)
        if earlier != count:
            raise DataFileError(
                f"{path}, line {count}: expected one row a run, but line {earlier} tells of the "
                "same. Remove one of them."
            )
        yield row
