"""Reading files that strangers wrote: nothing outside their folder, nothing of absurd size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from parrot_wrapper.errors import DataFileError, ParrotError

MAX_ARRAY_BYTES = 4 * 1024**3
"""No single array of an episode may claim more memory than this."""
_MAX_JSON_BYTES = 256 * 1024**2


@contextmanager
def foreign_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a reader of someone else's format raises into one `DataFileError`.

    Args:
        path: The file being read, for the message.
        kind: What it should be, such as "a Parquet file".
    """
    try:
        yield
    except ParrotError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataFileError(f"{path}: expected {kind}, whole and unaltered, got: {told}") from error


def inside(root: Path, relative: str) -> Path:
    """The file `relative` below `root`.

    Raises:
        DataFileError: The name is absolute or leads out of the folder, by `..` or by a link; or
            there is no such file.
    """
    named = root / relative
    try:
        found = named.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataFileError(f"{root}: expected a file {relative!r} there, got: {error}.") from error
    if not found.is_relative_to(root.resolve()) or Path(relative).is_absolute():
        raise DataFileError(
            f"{root}: expected files within this folder, but {relative!r} leads to {found}. If the "
            "folder is made of links, as a download cache is, copy it with `cp -rL` first."
        )
    if not found.is_file():
        raise DataFileError(f"{root}: expected a file {relative!r}, found something else.")
    return found


def is_hidden(relative: str) -> bool:
    """Whether a file is one that systems leave beside those of the user, such as `._x.parquet`."""
    parts = PurePosixPath(relative).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def read_json_file(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataFileError: It is too big, or no JSON.
    """
    with foreign_errors(path, "a JSON file"):
        return json.loads(_text(path))


def read_json_lines(path: Path) -> list[Any]:
    """The values in a file that has one on each line; empty lines are passed over.

    Raises:
        DataFileError: It is too big, or a line is no JSON.
    """
    with foreign_errors(path, "one JSON object a line"):
        # not splitlines(): a text in JSON may hold what it takes for the end of a line
        lines = _text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return [json.loads(line) for line in lines if line.strip()]


def _text(path: Path) -> str:
    """What a JSON file holds, in any Unicode encoding, with or without a byte order mark."""
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise DataFileError(
            f"{path}: expected at most {_MAX_JSON_BYTES} bytes of JSON, got {path.stat().st_size}."
        )
    content = path.read_bytes()
    return content.decode(json.detect_encoding(content))


def require_modest(where: str, shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """The bytes that an array of this shape and dtype takes, before they are allocated.

    Raises:
        DataFileError: They are absurdly many.
    """
    # Python integers: a product of declared sizes may not wrap around
    claimed = math.prod(map(int, shape)) * dtype.itemsize
    if claimed > MAX_ARRAY_BYTES:
        raise DataFileError(
            f"{where} claims {claimed} bytes with shape {tuple(shape)}; at most {MAX_ARRAY_BYTES} "
            "are read at once. Split the episode, or the file is broken."
        )
    return claimed
