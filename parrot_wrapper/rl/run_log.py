"""The log of a run as JSON lines, one object per row, continued by resumed runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter

from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.io.atomic_files import atomic_path
from parrot_wrapper.io.strict_json import parse_json

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
    """All rows of a log; a last line without its end, of a killed run, is left out.

    Raises:
        CheckpointError: A line is damaged; it is named.
    """
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
    """Drop the rows after `step`: those that a run resumed at `step` will write again.

    Args:
        path: A file of JSON lines.
        step: The last one to keep.
        key: Where a row has its step.

    Raises:
        CheckpointError: A line is damaged; it is named.
    """
    rows = read_log(path)
    for count, row in enumerate(rows, start=1):
        if type(row.get(key)) is not int:
            raise CheckpointError(f"{path}, line {count}: expected {key} as an integer.")
    rows = [row for row in rows if row[key] <= step]
    with atomic_path(path) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
