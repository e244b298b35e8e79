"""One writer per folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parrot_wrapper.errors import DataFileError


@contextmanager
def folder_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however the process ends.

    On Windows nothing is locked. Two writers of one collection write the same bytes all the same.

    Args:
        folder: Made where it does not exist.
        wait: Until another process lets go of it, instead of raising.

    Raises:
        DataFileError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataFileError(
                    f"{folder}: expected a folder that no one else writes to, but another process "
                    "is at work in it. Wait for it, or choose another folder."
                ) from error
        yield
