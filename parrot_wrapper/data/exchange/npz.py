"""`.npz` files of strangers: no pickles, and no array bigger than its entry."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from parrot_wrapper.data.exchange.guarded_files import foreign_errors, is_hidden, require_modest
from parrot_wrapper.data.exchange.source import Part
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.types import AnyArray

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class GuardedNpz:
    """The arrays of an open `.npz` file, read one by one.

    Args:
        path: Of the file, for messages.
        archive: The file.

    Attributes:
        headers: Name to whole shape and dtype, without reading the values. There may be objects
            and text, which are refused only when they are read.

    Raises:
        DataFileError: An array is absurdly big, or does not fit its entry.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self.headers: Mapping[str, Part] = {
            info.filename.removesuffix(".npy"): self._header(info)
            for info in archive.infolist()
            if info.filename.endswith(".npy") and not is_hidden(info.filename)
        }

    def _header(self, info: zipfile.ZipInfo) -> Part:
        where = f"{self._path}: {info.filename}"
        with foreign_errors(self._path, "NumPy arrays"), self._archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _HEADERS:
                raise ValueError(f"{info.filename} has format version {version}")
            shape, _, dtype = _HEADERS[version](stream)
            begins = stream.tell()
        if dtype.hasobject:
            return Part(shape, dtype)  # a pickle, which is of any size and never read
        require_modest(where, shape, dtype)
        if math.prod(shape) * dtype.itemsize + begins != info.file_size:
            raise DataFileError(f"{where}: its header claims another size than it has. It is torn.")
        return Part(shape, dtype)

    def __getitem__(self, name: str) -> AnyArray:
        """The values of an array.

        Raises:
            DataFileError: They are no numbers, or torn.
        """
        dtype = self.headers[name].dtype
        if dtype.hasobject or dtype.kind not in "fiub":
            raise DataFileError(
                f"{self._path}: {name}: expected an array of numbers, got dtype {dtype}. Arrays of "
                "objects are pickles, which are never loaded."
            )
        with (
            foreign_errors(self._path, "NumPy arrays"),
            self._archive.open(f"{name}.npy") as stream,
        ):
            values: AnyArray = np.lib.format.read_array(stream, allow_pickle=False)
            return values


@contextmanager
def open_npz(path: Path) -> Iterator[GuardedNpz]:
    """Open an `.npz` file; whatever zipfile or NumPy raises becomes a `DataFileError`."""
    with foreign_errors(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        yield GuardedNpz(path, archive)
