"""Reading files that strangers wrote: nothing outside their folder, nothing of absurd size."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import h5py
import numpy as np

from parrot_wrapper.data.exchange.source import Part
from parrot_wrapper.errors import DataFileError, ParrotError
from parrot_wrapper.types import AnyArray

MAX_ARRAY_BYTES = 4 * 1024**3
"""No single array of an episode may claim more memory than this."""
_MAX_JSON_BYTES = 256 * 1024**2
_ALWAYS_FINE = 64 * 1024**2
_BEST_COMPRESSION = 1100  # deflate cannot do better than 1032 to 1
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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
    """The file `relative` below `root`; no `..` and no link may lead out, and it must be there."""
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
    """The content of a JSON file; refused with `DataFileError` where it is too big, or no JSON."""
    with foreign_errors(path, "a JSON file"):
        return json.loads(_text(path))


def read_json_lines(path: Path) -> list[Any]:
    """The values in a file that has one on each line; empty lines are passed over."""
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
    """The bytes that such an array takes; `DataFileError` where they are absurdly many."""
    # Python integers: a product of declared sizes may not wrap around
    claimed = math.prod(map(int, shape)) * dtype.itemsize
    if claimed > MAX_ARRAY_BYTES:
        raise DataFileError(
            f"{where} claims {claimed} bytes with shape {tuple(shape)}; at most {MAX_ARRAY_BYTES} "
            "are read at once. Split the episode, or the file is broken."
        )
    return claimed


@contextmanager
def open_guarded(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever h5py raises becomes a `DataFileError`."""
    with foreign_errors(path, "an HDF5 file"), h5py.File(path, "r") as file:
        yield file


def require_self_contained(file: h5py.File) -> None:
    """Refuse what reaches out of the file, by a link or by keeping values in others, and bombs.

    A bomb claims more than the file can hold. The message says where.
    """
    links: dict[str, Any] = {}
    file.visititems_links(links.__setitem__)
    for name, link in links.items():
        where = f"{file.filename}: /{name}"
        if isinstance(link, h5py.ExternalLink):
            raise DataFileError(
                f"{where} is a link to another file, {link.filename!r}. Links out of a file "
                "are not followed; copy the data in with h5repack or h5py."
            )
        # a soft link leads to something that is visited by its own name
        item = None if isinstance(link, h5py.SoftLink) else file[name]
        if isinstance(item, h5py.Dataset):
            _require_own_values(item, where)


def arrays_below(group: h5py.Group, skip: Collection[str] = ()) -> dict[str, Part]:
    """Whole shape and dtype of each array below a group, by names such as outer/inner.

    Names in `skip` are not looked at, nor what is below them.
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


class OpenArrays(NamedTuple):
    """Arrays of a file or in memory.

    Attributes:
        headers: Name to whole shape and dtype, without reading the values. There may be objects
            and text, which are refused only when they are read.
        read: From a name to the values of that array.
    """

    headers: Mapping[str, Part]
    read: Callable[[str], AnyArray]


@contextmanager
def open_hdf5_arrays(path: Path) -> Iterator[OpenArrays]:
    """Open an HDF5 file of plain arrays; whatever h5py raises becomes a `DataFileError`."""
    with open_guarded(path) as file:
        require_self_contained(file)
        yield OpenArrays(arrays_below(file), partial(array_of, file))


def array_of(group: h5py.Group, name: str) -> AnyArray:
    """The numbers of a dataset in `group`, after a look at how many it claims to have."""
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


@contextmanager
def open_npz(path: Path) -> Iterator[OpenArrays]:
    """Open an `.npz` file; whatever zipfile or NumPy raises becomes a `DataFileError`."""
    with foreign_errors(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        headers = {
            info.filename.removesuffix(".npy"): _npy_header(path, archive, info)
            for info in archive.infolist()
            if info.filename.endswith(".npy") and not is_hidden(info.filename)
        }

        def read(name: str) -> AnyArray:
            dtype = headers[name].dtype
            if dtype.hasobject or dtype.kind not in "fiub":
                raise DataFileError(
                    f"{path}: {name}: expected an array of numbers, got dtype {dtype}. Arrays of "
                    "objects are pickles, which are never loaded."
                )
            with foreign_errors(path, "NumPy arrays"), archive.open(f"{name}.npy") as stream:
                values: AnyArray = np.lib.format.read_array(stream, allow_pickle=False)
                return values

        yield OpenArrays(headers, read)


def _npy_header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Part:
    where = f"{path}: {info.filename}"
    with foreign_errors(path, "NumPy arrays"), archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{info.filename} has format version {version}")
        shape, _, dtype = _HEADERS[version](stream)
        begins = stream.tell()
    if dtype.hasobject:
        return Part(shape, dtype)  # a pickle, which is of any size and never read
    if require_modest(where, shape, dtype) + begins != info.file_size:
        raise DataFileError(f"{where}: its header claims another size than it has. It is torn.")
    return Part(shape, dtype)
