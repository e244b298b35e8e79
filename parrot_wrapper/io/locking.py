"""One writer per folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from parrot_wrapper.errors import DataFileError
from parrot_wrapper.io.atomic_files import writing

_POLL_SECONDS = 0.1


@contextmanager
def folder_lock(folder: Path, *, wait: bool = False, patience: float = 0.0) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however the process ends.

    Args:
        folder: Made where it does not exist; gone again if the block fails before it writes.
        wait: Until another process lets go of it, instead of raising.
        patience: Seconds to wait before raising, for one that is about to end.
    """
    is_new = not folder.exists()
    lock, holder = FileLock(folder / ".lock"), folder / ".lock-holder"
    try:
        with writing(folder / ".lock"):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=-1 if wait else patience, poll_interval=_POLL_SECONDS)
    except Timeout as error:
        who = ""
        with suppress(OSError):  # it has just let go
            who = f" ({holder.read_text(encoding='utf-8')})"
        raise DataFileError(
            f"{folder}: expected a folder that no one else writes to, but another process is at "
            f"work in it{who}. Wait for it, or choose another folder."
        ) from error
    try:
        with suppress(OSError):  # for a message alone
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    except BaseException:
        holder.unlink(missing_ok=True)
        if is_new and [path.name for path in folder.iterdir()] == [".lock"]:
            with suppress(PermissionError):  # Windows keeps a file that is open
                (folder / ".lock").unlink()
                folder.rmdir()
        raise
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
