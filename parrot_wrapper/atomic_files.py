"""Files and folders that appear whole or not at all, whatever kills the process."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it replaces `target` when the block ends well.

    Args:
        target: The file to write. Its folder is made where it does not exist.

    The temporary name begins with a dot and ends in `.partial`, so that no reader takes it for
    data.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.chmod(0o644)  # mkstemp makes private files; results are for everyone
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it becomes `target` when the block ends well.

    An existing `target` is moved aside first and removed last, so that one whole version
    (old or new) is on disk at every moment but the instant between two renames.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(
        tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    )
    try:
        yield partial
        partial.chmod(0o755)
        if target.exists():
            old = partial.with_suffix(".old")
            os.replace(target, old)
            os.replace(partial, target)
            shutil.rmtree(old)
        else:
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN and infinities are refused.

    Raises:
        ValueError: `content` holds a float that JSON cannot carry.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")
