"""The logs of a run as JSON lines, one object a row, continued by resumed runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.io.atomic_files import atomic_path
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.rl.checkpoint import list_checkpoints, read_header
from parrot_wrapper.types import UNSAFE_KEY, told_success
from parrot_wrapper.wrappers.chunk import executed_steps

STEP_KEY = "time/total_timesteps"


class JsonLinesWriter(KVWriter):
    """Append SB3's logged numbers to a file, one JSON object a row; NaN becomes null.

    Unlike SB3's own writers it does not empty the file that it finds.

    Args:
        path: The file; made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8")

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        """Write one row: every number among `key_values`, in order of name."""
        row: dict[str, float] = {STEP_KEY: step}
        for key, value in sorted(key_values.items()):
            if isinstance(value, int | float | np.integer | np.floating):
                row[key] = value.item() if isinstance(value, np.generic) else value
        finite = {key: value if math.isfinite(value) else None for key, value in row.items()}
        self._stream.write(json.dumps(finite) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """All rows of a log; a last line without its end, of a killed run, is left out."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    rows: list[dict[str, Any]] = []
    for count, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise CheckpointError(f"{path}, line {count}: expected JSON ({error}).") from error
        if not isinstance(row, dict):
            raise CheckpointError(f"{path}, line {count}: expected a JSON object, found {row!r}.")
        rows.append(row)
    return rows


def cut_log(path: Path, step: int, *, key: str = STEP_KEY) -> None:
    """Drop the rows after `step`: those that a run resumed at `step` will write again."""
    rows = read_log(path)
    for count, row in enumerate(rows, start=1):
        if type(row.get(key)) is not int:
            raise CheckpointError(f"{path}, line {count}: expected {key} as an integer.")
    rows = [row for row in rows if row[key] <= step]
    with atomic_path(path) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


EPISODES_FILE = "episodes.jsonl"
STEPS_KEY = "env_steps"


class EpisodeLogCallback(BaseCallback):
    """Append a row to `episodes.jsonl` whenever an episode of the one training env ends."""

    def __init__(self, run_folder: Path) -> None:
        super().__init__()
        self._path = run_folder / EPISODES_FILE
        self._succeeded, self._unsafe = False, 0

    def _on_step(self) -> bool:
        [info] = self.locals["infos"]
        for _, step_info in executed_steps(0.0, info):
            self._succeeded |= bool(told_success(step_info))
            self._unsafe += len(step_info.get(UNSAFE_KEY, ()))
        if self.locals["dones"][0]:
            row = {
                STEPS_KEY: self.num_timesteps,
                "success": bool(told_success(info)),
                "success_once": self._succeeded,
                "return": info["episode"]["r"],
            }
            if UNSAFE_KEY in info:
                row[UNSAFE_KEY] = self._unsafe
            self._succeeded, self._unsafe = False, 0
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        return True


def read_episodes(run_folder: str | Path) -> list[dict[str, Any]]:
    """The finished training episodes of a run, oldest first; none where it has not begun.

    Returns:
        For each: "env_steps" of the run at its end, "success" on its last step, "success_once" on
        any, "return", the undiscounted sum of the env's rewards, and "unsafe", how many unsafe
        events there were, of envs that tell.
    """
    return read_log(as_path("run_folder", run_folder) / EPISODES_FILE)


def training_seconds(run_folder: str | Path) -> float:
    """Wall-clock time of a run's training up to its last checkpoint, all parts of it together.

    What a killed part did after its last checkpoint, which the next part does again, counts once.
    """
    checkpoints = list_checkpoints(as_path("run_folder", run_folder) / "checkpoints")
    if not checkpoints:
        raise CheckpointError(f"{run_folder}: expected a checkpoint of the run, found none yet.")
    return float(read_header(checkpoints[-1])["seconds"])
