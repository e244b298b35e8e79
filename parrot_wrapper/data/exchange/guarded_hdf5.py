"""HDF5 files of strangers: no way out of the file, and no array bigger than it can be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from parrot_wrapper.data.exchange.guarded_files import foreign_errors, require_modest
from parrot_wrapper.data.exchange.source import Part
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.types import AnyArray

_ALWAYS_FINE = 64 * 1024**2
_BEST_COMPRESSION = 1100  # deflate cannot do better than 1032 to 1


@contextmanager
def open_guarded(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever h5py raises becomes a `DataFileError`."""
    with foreign_errors(path, "an HDF5 file"), h5py.File(path, "r") as file:
        yield file


def require_self_contained(file: h5py.File) -> None:
    """Refuse what reaches out of the file, by a link or by keeping values in others, and bombs.

    Raises:
        DataFileError: There is such a thing, or an array that claims more than the file can hold.
            The message says where.
    """
    seen: set[int] = set()
    waiting: list[h5py.Group] = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            where = f"{file.filename}: {group.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.ExternalLink):
                raise DataFileError(
                    f"{where} is a link to another file, {link.filename!r}. Links out of a file "
                    "are not followed; copy the data in with h5repack or h5py."
                )
            if isinstance(link, h5py.SoftLink):
                continue  # leads to something that is visited by its own name
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                _require_own_values(item, where)


def arrays_below(group: h5py.Group, skip: Collection[str] = ()) -> dict[str, Part]:
    """Name, such as outer/inner, to whole shape and dtype of each array in a group and below.

    Args:
        group: Where to look.
        skip: Names not to look below.
    """
    found: dict[str, Part] = {}
    seen: set[int] = set()  # groups may be linked in a circle
    waiting = [("", group)]
    while waiting:
        prefix, inner = waiting.pop(0)
        address = h5py.h5o.get_info(inner.id).addr
        if address in seen:
            continue
        seen.add(address)
        for name, item in inner.items():
            if f"{prefix}{name}" in skip:
                continue
            if isinstance(item, h5py.Group):
                waiting.append((f"{prefix}{name}/", item))
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                found[f"{prefix}{name}"] = Part(item.shape, item.dtype)
    return found


class GuardedHdf5:
    """The arrays of an open HDF5 file, read one by one; see `GuardedNpz`, which is the same."""

    def __init__(self, file: h5py.File) -> None:
        require_self_contained(file)
        self._file = file
        self.headers: Mapping[str, Part] = arrays_below(file)

    def __getitem__(self, name: str) -> AnyArray:
        """The values of an array."""
        return array_of(self._file, name)


@contextmanager
def open_hdf5_arrays(path: Path) -> Iterator[GuardedHdf5]:
    """Open an HDF5 file of plain arrays; whatever h5py raises becomes a `DataFileError`."""
    with open_guarded(path) as file:
        yield GuardedHdf5(file)


def array_of(group: h5py.Group, name: str) -> AnyArray:
    """The numbers of a dataset in `group`, after a look at how many it claims to have.

    Raises:
        DataFileError: There is no such dataset, it has no numbers, or it claims more than the
            file can hold.
    """
    item: Any = group.get(name)
    label = f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiub":
        found = f"dtype {item.dtype}" if isinstance(item, h5py.Dataset) else type(item).__name__
        raise DataFileError(
            f"{label}: expected an array of numbers, got {found}; the group has "
            f"{', '.join(group) or 'nothing'}."
        )
    _require_own_values(item, label)
    values: AnyArray = np.asarray(item[()])
    return values


def _require_own_values(item: h5py.Dataset, where: str) -> None:
    if item.external or item.is_virtual:
        raise DataFileError(
            f"{where} keeps its values in other files. They are not opened; copy the data in with "
            "h5repack or h5py."
        )
    claimed = require_modest(where, item.shape or (), item.dtype)
    stored = item.id.get_storage_size()
    if claimed > max(_ALWAYS_FINE, _BEST_COMPRESSION * stored):
        raise DataFileError(f"{where} claims {claimed} bytes, of which only {stored} are there.")
