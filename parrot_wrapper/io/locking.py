"""One writer per folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from parrot_wrapper.errors import DataFileError
from parrot_wrapper.io.atomic_files import writing

_POLL_SECONDS = 0.1


@contextmanager
def folder_lock(folder: Path, *, wait: bool = False, patience: float = 0.0) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however the process ends.

    On Windows nothing is locked. Two writers of one collection write the same bytes all the same.

    Args:
        folder: Made where it does not exist; gone again if the block fails before it writes.
        wait: Until another process lets go of it, instead of raising.
        patience: Seconds to wait before raising, for one that is about to end.

    Raises:
        DataFileError: Another process holds it.
        WriteError: The folder cannot be written to.
    """
    is_new = not folder.exists()
    with writing(folder / ".lock"):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a")
    with stream:
        if sys.platform != "win32":
            deadline = time.monotonic() + patience
            while not _locked(stream, wait=wait):
                if time.monotonic() >= deadline:
                    raise DataFileError(
                        f"{folder}: expected a folder that no one else writes to, but another "
                        "process is at work in it. Wait for it, or choose another folder."
                    )
                time.sleep(_POLL_SECONDS)
        try:
            yield
        except BaseException:
            if is_new and [path.name for path in folder.iterdir()] == [".lock"]:
                (folder / ".lock").unlink()
                folder.rmdir()
            raise


def _locked(stream: IO[str], *, wait: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
