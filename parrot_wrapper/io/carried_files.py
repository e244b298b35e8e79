"""Files that travel with a task to a worker that shares no disk, and back.

Relative paths travel, and lie at the same relative path where the worker works. Absolute ones are
on a disk that all machines share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from parrot_wrapper.errors import ClusterError, InvalidArgumentError
from parrot_wrapper.io.atomic_files import atomic_folder, atomic_path, writing

Files = dict[str, bytes]
"""Content by relative path, with slashes."""


def carried(paths: Iterable[Path]) -> list[Path]:
    """Those that travel.

    Raises:
        InvalidArgumentError: One is relative and yet outside the folder that is worked in.
    """
    found = [path for path in paths if not path.is_absolute()]
    for path in found:
        if ".." in path.parts:
            raise InvalidArgumentError(
                f"Expected a path below the folder that the command is started in, whose files are "
                f"carried to the workers, or an absolute one on a disk that they share, got {path}."
            )
    return found


def packed(paths: Iterable[Path], root: Path, *, ends: tuple[str, ...] = ("",)) -> Files:
    """The files at `paths` below `root`, without locks and strays, which are of one machine.

    Args:
        paths: Relative files and folders; there may be nothing there.
        root: What they are relative to.
        ends: Of the names of files that are taken.
    """
    files: Files = {}
    for path in paths:
        place = root / path
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            below = file.relative_to(place)
            hidden = any(part.startswith(".") for part in below.parts)
            if not hidden and file.name.endswith(ends) and file.is_file():
                files[(path / below).as_posix()] = file.read_bytes()
    return files


def unpack(files: Files, root: Path) -> None:
    """Write files below a folder that nobody else uses.

    Raises:
        WriteError: The disk is full, or the folder cannot be written to.
    """
    for name, content in files.items():
        path = root / name
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def put_back(files: Files, paths: Iterable[Path]) -> None:
    """Replace what is at `paths` by what came back, each whole or not at all, in their order.

    Raises:
        WriteError: The disk is full, or the folder cannot be written to; what was there stays.
    """
    for path in paths:
        name = path.as_posix()
        below = {key: content for key, content in files.items() if key.startswith(f"{name}/")}
        if name in files:
            with atomic_path(path) as partial:
                partial.write_bytes(files[name])
        elif below:
            with atomic_folder(path) as partial:
                unpack({key[len(name) + 1 :]: content for key, content in below.items()}, partial)


def anchors(paths: Iterable[Path]) -> list[Path]:
    """For each absolute path what there is of it: itself, or the nearest folder above."""
    shared = (path for path in paths if path.is_absolute())
    return [next(part for part in (path, *path.parents) if part.exists()) for path in shared]


def require_shared(paths: Collection[Path], where: str) -> None:
    """Refuse to work where a shared disk is not.

    Args:
        paths: What is there on the machine that the command runs on.
        where: This machine, in words.

    Raises:
        ClusterError: Something is not there.
    """
    if missing := [str(path) for path in paths if not path.exists()]:
        raise ClusterError(
            f"{where}: expected {', '.join(missing)} on a disk that all machines share, found "
            "nothing. Give paths relative to the folder that you start from, to have their files "
            "carried, or mount the disk there."
        )
