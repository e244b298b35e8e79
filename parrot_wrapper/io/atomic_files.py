"""Files and folders that appear whole or not at all, whatever kills the process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import WriteError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than files may be here",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EEXIST: "a part of its path is a file",
    errno.EISDIR: "there is a folder of that name",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EIO: "the disk reports an error",
}
_PARTIAL, _OLD = ".partial", ".old"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn the system's refusals to write `target` in the block into one typed error."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WriteError) or not is_refusal(error):
            raise
        raise _write_error(target, error) from error


def is_refusal(error: BaseException) -> bool:
    """Whether it is the system's way to say that something cannot be written, or read, there."""
    return isinstance(error, OSError) and error.errno in _REASONS


@contextmanager
def room_below(folder: Path) -> Iterator[None]:
    """As `writing`, for a block that reads files too: only what says that there is no room."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WriteError) or error.errno not in _NO_ROOM:
            raise
        raise _write_error(folder, error) from error


def _write_error(target: Path, error: OSError) -> WriteError:
    return WriteError(
        f"{target}: cannot be written: {_REASONS[error.errno or 0]} ({error.strerror}). What was "
        "there before is still there. Make room or choose another folder; the same call then goes "
        "on."
    )


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it replaces `target` when the block ends well.

    Args:
        target: The file to write. Its folder is made where it does not exist.

    The temporary name begins with a dot and ends in `.partial`, so that no reader takes it for
    data.
    """
    target = target.expanduser()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=_PARTIAL
        )
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            _to_disk(partial)
            partial.chmod(0o644)  # mkstemp makes private files; results are for everyone
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it becomes `target` when the block ends well.

    An existing `target` is moved aside first and removed last, so that one whole version
    (old or new) is on disk at every moment but the instant between two renames; `clear_strays`
    undoes what a kill in that instant left.
    """
    target = target.expanduser()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(
            tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=_PARTIAL)
        )
        try:
            yield partial
            for path in partial.rglob("*"):
                if path.is_file():
                    _to_disk(path)
            partial.chmod(0o755)
            if target.exists():
                old = partial.with_suffix(_OLD)
                os.replace(target, old)
                os.replace(partial, target)
                shutil.rmtree(old)
            else:
                os.replace(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def clear_strays(folder: Path) -> None:
    """Remove what killed writers left in `folder`; only for one that nobody else writes to.

    An old folder that was moved aside and not replaced any more is put back.
    """
    for path in folder.glob(f".*{_OLD}"):
        target = folder / path.name.removeprefix(".").removesuffix(_OLD).rpartition(".")[0]
        if not target.exists():
            os.replace(path, target)
    for suffix in (_PARTIAL, _OLD):
        for path in folder.glob(f".*{suffix}"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; a ValueError for NaN and infinities."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")
