"""Result rows as the report reads them: `rows.jsonl` of a results folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import DataFileError

ROWS_FILES = ("rows.jsonl", "exploration.jsonl")
RunKey = tuple[str, str, int, int, int | None, tuple[tuple[str, str], ...]]
"""Task, method, seeds, demonstrations and labels: what tells the runs of a grid apart."""
_FORMAT = 1


@dataclass(frozen=True)
class Share:
    """A share of episodes with its 95 % interval.

    Attributes:
        value: 0 to 1.
        low: Lower end.
        high: Upper end.
        episodes: How many were counted.
    """

    value: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class ResultRow:
    """What is known of one finished run.

    Attributes:
        grid: Name of its grid.
        setting: Setting of its grid: ci, laptop or paper.
        task: Env id.
        method: Name of the method, with "+variant" behind it for a variant of one.
        prior_seed: Seed of what was learned from data.
        rl_seed: Seed of the agent.
        data_episodes: Demonstrations that were learned from, or None.
        labels: Free facts that tell runs apart.
        config: Settings of the run.
        versions: Package to version.
        machine: CPUs, torch threads, processor.
        env_steps: Env steps of training; 0 where there was none.
        success: Held-out success on the last step of an episode; without RL, on any step.
        success_once: Held-out success on any step.
        lifted: Share of episodes in which anything was lifted, or None.
        placed: Share of episodes in which anything was placed, or None.
        curve: (env steps, success in training) of consecutive bins, at their ends.
        wall_seconds: Training time.
        finished: ISO time, UTC.
    """

    grid: str
    setting: str
    task: str
    method: str
    prior_seed: int
    rl_seed: int
    data_episodes: int | None
    labels: Mapping[str, str]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    env_steps: int
    success: Share
    success_once: Share
    lifted: Share | None = None
    placed: Share | None = None
    curve: tuple[tuple[float, float], ...] = field(default=())
    wall_seconds: float = 0.0
    finished: str = ""

    @property
    def key(self) -> RunKey:
        """What the run is known by."""
        labels = tuple(sorted(self.labels.items()))
        facts = (self.task, self.method, self.prior_seed, self.rl_seed)
        return (*facts, self.data_episodes, labels)


def load_rows(folder: str | Path) -> list[ResultRow]:
    """All rows of a results folder; a torn last line (a killed run) is left out.

    Raises:
        DataFileError: No rows there, a damaged line, or rows of a newer format.
    """
    rows: list[ResultRow] = []
    for path in (Path(folder) / name for name in ROWS_FILES):
        if path.is_file():
            whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
            lines = enumerate(whole.splitlines(), start=1)
            rows += [_row(line, f"{path}, line {i}") for i, line in lines]
    if not rows:
        raise DataFileError(
            f"{folder}: expected a folder with the rows of one finished run at least, as `parrot "
            f"experiment` writes them ({' or '.join(ROWS_FILES)}), found none."
        )
    return rows


def load_plan(folder: str | Path) -> frozenset[RunKey]:
    """The keys of all runs of the grid of a results folder; empty where it does not say."""
    return frozenset()


def _row(line: str, where: str) -> ResultRow:
    try:
        content = json.loads(line)
        if content["format"] > _FORMAT:
            raise DataFileError(
                f"{where}: expected format {_FORMAT}, got {content['format']}; a newer version of "
                "this package wrote it."
            )
        values: dict[str, Any] = {
            name: Share(**content[name])
            for name in ("success", "success_once", "lifted", "placed")
            if content.get(name) is not None
        }
        content = {"config": {}, "env_steps": 0, "curve": (), **content}
        values.setdefault("success", values["success_once"])
        values["curve"] = tuple((float(step), float(rate)) for step, rate in content["curve"])
        others = set(ResultRow.__dataclass_fields__) - {"lifted", "placed", *values}
        return ResultRow(**values, **{key: content[key] for key in others})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(f"{where}: expected a result row, got {error!r}.") from error
