"""Result rows: one JSON object per finished run, one run per line, checked when read.

A results folder holds `rows.jsonl` (agents) or `exploration.jsonl` (rollouts without one), and
`grid.json`, the grid that they are of.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from parrot_wrapper.checks import as_path, check_fields, require_instance
from parrot_wrapper.errors import DataFileError, InvalidArgumentError, ParrotError
from parrot_wrapper.experiments.grid_checks import fields_of
from parrot_wrapper.experiments.methods import RunKey
from parrot_wrapper.io.atomic_files import writing
from parrot_wrapper.io.strict_json import parse_json

FORMAT = 1
ROW_FILES = ("rows.jsonl", "exploration.jsonl")
"""Of runs with an agent, and of those without."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Share:
    """A share of held-out episodes with its 95 % Wilson interval, all in [0, 1].

    Raises:
        InvalidArgumentError: A value of another type, or outside its range.
    """

    value: float
    low: float
    high: float
    episodes: int

    def __post_init__(self) -> None:
        check_fields(self)
        ends = (0.0, self.low, self.value, self.high, 1.0)
        if self.episodes < 0 or not all(a <= b + _ROUNDING for a, b in itertools.pairwise(ends)):
            raise InvalidArgumentError(
                f"Expected 0 <= low <= value <= high <= 1 and episodes >= 0, got {self}."
            )


@dataclass(frozen=True)
class ResultRow:
    """A finished run: of an agent, or rollouts of random behaviour without one.

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
        success_once: Share of held-out episodes in which the task is done on any step.
        success: Of an agent's last checkpoint: on the last step; None without an agent.
        config: The agent's `RLConfig` as a mapping; empty without one.
        env_steps: Env steps of training; 0 without an agent.
        curve: Pairs of env steps and success: the share of training episodes that ended
            successful in each 1,000 env steps, whose end stands beside it. The agent samples its
            actions there. Empty without an agent.
        judged: What the prior was worth in the task before RL, as `measure_prior` tells, and its
            "training_minutes"; None for what is not known. Empty where it was not judged.
        spent: Of an agent: "kl", the mean KL of its policy to the prior (to uniform actions without
            one) in nats per decision, over the last quarter of training; "unsafe_per_1000", unsafe
            events in 1,000 env steps of all of it, None where the env does not tell. Empty in rows
            of earlier versions.
        lifted: Share of episodes in which random behaviour lifts any object; None if the env does
            not tell, and for agents.
        placed: The same for placed where the task wants it.

    Raises:
        InvalidArgumentError: A value of another type, or outside its range.
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
    success_once: Share
    success: Share | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    env_steps: int = 0
    curve: tuple[tuple[int, float], ...] = ()
    judged: Mapping[str, float | None] = field(default_factory=dict)
    spent: Mapping[str, float | None] = field(default_factory=dict)
    lifted: Share | None = None
    placed: Share | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("grid", "setting", "task", "method", "finished"):
            if not getattr(self, name):
                raise InvalidArgumentError(f"Expected {name} as text, got none.")
        for name in ("prior_seed", "rl_seed", "env_steps", "wall_seconds", "data_episodes"):
            if not 0 <= (getattr(self, name) or 0) < math.inf:
                raise InvalidArgumentError(f"Expected {name} >= 0, got {getattr(self, name)}.")
        object.__setattr__(self, "curve", tuple(map(tuple, self.curve)))
        steps = [steps for steps, _ in self.curve]
        if sorted(set(steps)) != steps or not all(0 <= rate <= 1 for _, rate in self.curve):
            raise InvalidArgumentError(
                f"Expected curve with growing env steps and shares, got {reprlib.repr(self.curve)}."
            )

    @property
    def key(self) -> RunKey:
        """What the run is known by; equal to the `key` of its `Run`."""
        labels = tuple(sorted(self.labels.items()))
        facts = (self.task, self.method, self.prior_seed, self.rl_seed)
        return (*facts, self.data_episodes, labels)

    @property
    def explores(self) -> bool:
        """Whether there is no agent."""
        return self.success is None

    @property
    def score(self) -> Share:
        """What runs are compared by: `success`, without an agent `success_once`."""
        return self.success or self.success_once

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; with the format's version first, and what belongs to its kind of run."""
        content = asdict(self)
        names = [*_names(self.explores), *(name for name in _OPTIONAL if content[name])]
        return {"format": FORMAT, **{name: content[name] for name in names}}


_OF_ALL = tuple(entry.name for entry in fields(ResultRow))[:12]
_OF_AGENTS = ("config", "env_steps", "success", "success_once", "curve")
_OF_EXPLORERS = ("lifted", "placed", "success_once")
_OPTIONAL = ("judged", "spent")
_SHARES = ("success", "success_once", "lifted", "placed")
_MAY_BE_NONE = ("lifted", "placed")


def _names(explores: bool) -> tuple[str, ...]:
    return (*_OF_ALL, *(_OF_EXPLORERS if explores else _OF_AGENTS))


def row_from_dict(content: object, *, explores: bool) -> ResultRow:
    """The inverse of `to_dict`, for a run with an agent or without."""
    require_instance("a row", content, dict, "a JSON object")
    values = dict(content)  # type: ignore[call-overload]
    version = values.pop("format", None)
    if version != FORMAT:
        raise InvalidArgumentError(
            f"This installation reads format {FORMAT}, found {version!r}; a newer one needs a "
            "newer parrot-wrapper."
        )
    names = set(_names(explores))
    allowed = names if explores else {*names, *_OPTIONAL}
    missing, unknown = sorted(names - set(values)), sorted(set(values) - allowed)
    if missing or unknown:
        raise InvalidArgumentError(
            f"Expected the keys of a row; missing: {missing}, unknown: {unknown}."
        )
    for name, value in values.items():
        if name in _SHARES and (value is not None or name not in _MAY_BE_NONE):
            values[name] = Share(**fields_of(Share, name, value))
    return ResultRow(**values)


def read_rows(folder_or_file: str | Path) -> list[ResultRow]:
    """The finished runs of a results folder, or of one of its files; empty where there is none yet.

    A last line without its end, from a process killed while it wrote, is left out.

    Raises:
        DataFileError: A line is damaged or of a newer format, or two tell of the same run; file
            and line are named.
    """
    place = as_path("folder_or_file", folder_or_file)
    paths = [place / name for name in ROW_FILES] if place.is_dir() else [place]
    return [row for path in paths for row in _read(path)]


def append_row(folder: Path, row: ResultRow) -> None:
    """Add a row to a results folder; on disk when this returns.

    A torn last line, left by a kill or a full disk, is removed first. One process at a time may
    write.
    """
    path = folder / ROW_FILES[row.explores]
    line = json.dumps(row.to_dict(), allow_nan=False) + "\n"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            stream.seek(0)
            content = stream.read()
            stream.truncate(content.rfind(b"\n") + 1)
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())


def _read(path: Path) -> Iterator[ResultRow]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataFileError(f"{path}: expected a file of result rows ({error}).") from error
    first: dict[RunKey, int] = {}
    for count, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            row = row_from_dict(parse_json(line), explores=path.name == ROW_FILES[True])
        except ParrotError as problem:
            raise DataFileError(f"{path}, line {count}: {problem}") from problem
        except ValueError as error:
            raise DataFileError(f"{path}, line {count}: expected JSON ({error}).") from error
        earlier = first.setdefault(row.key, count)
        if earlier != count:
            raise DataFileError(
                f"{path}, line {count}: expected one row a run, but line {earlier} tells of the "
                "same. Remove one of them."
            )
        yield row
