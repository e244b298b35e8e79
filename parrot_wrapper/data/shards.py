"""One shard: an HDF5 file of concatenated episodes and a JSON sidecar that makes it count.

The sidecar is written last and has the SHA-256 of the HDF5 file, so a shard without a sidecar
is a torn one, and one that does not match its sidecar has been altered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.atomic_files import atomic_path, write_json
from parrot_wrapper.data.checks import concatenated
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.errors import DataFileError, MissingExtraError
from parrot_wrapper.types import AnyArray

try:
    import h5py
except ImportError as error:
    raise MissingExtraError(
        "Data sets on disk need h5py: pip install 'parrot-wrapper[data]'."
    ) from error

SHARD_FORMAT = "parrot-shard"
FORMAT_VERSION = 1
_CHUNK_BYTES = 192 * 1024  # about one episode of 48x48 images: a cut in mid-shard wastes little


@dataclass(frozen=True)
class ShardInfo:
    """The sidecar of a shard.

    Attributes:
        index: Place of the shard in the data set, from 0.
        attempts: Episodes that were tried, including those thrown away.
        lengths: Steps of every kept episode.
        sha256: Hex SHA-256 of the HDF5 file; empty if no episode was kept and there is no file.
    """

    index: int
    attempts: int
    lengths: tuple[int, ...]
    sha256: str

    @property
    def n_episodes(self) -> int:
        """The number of kept episodes."""
        return len(self.lengths)


def shard_path(folder: Path, index: int) -> Path:
    """The HDF5 file of shard `index`; its sidecar has the suffix `.json` instead."""
    return folder / f"shard-{index:06d}.h5"


def require_format(path: Path, content: object, expected: str) -> dict[str, Any]:
    """Check the `format` and `format_version` of a JSON file's content.

    Raises:
        DataFileError: The file is of another kind or was written by a newer version.
    """
    if not isinstance(content, dict) or content.get("format") != expected:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise DataFileError(f"{path}: expected a file of format {expected!r}, got {found!r}.")
    version = content.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise DataFileError(f"{path}: expected a format_version >= 1, got {version!r}.")
    if version > FORMAT_VERSION:
        raise DataFileError(
            f"{path}: expected format version {FORMAT_VERSION} or older, got {version}. Upgrade "
            "parrot_wrapper to read it."
        )
    return content


def read_json(path: Path) -> object:
    """The content of a JSON file.

    Raises:
        DataFileError: It does not exist or is not whole JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataFileError(f"{path}: expected a file, found none.") from error
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path}: truncated or not JSON ({error}).") from error


def write_shard(
    folder: Path, index: int, episodes: Sequence[Episode], *, attempts: int
) -> ShardInfo:
    """Write a shard, whole or not at all.

    Args:
        folder: The data set's folder.
        index: Place of the shard in the data set, from 0.
        episodes: The kept ones, in order; may be empty.
        attempts: How many were tried.

    Raises:
        DataError: The episodes disagree in names or shapes.
    """
    path, sha256 = shard_path(folder, index), ""
    if episodes:
        with atomic_path(path) as partial:
            with h5py.File(partial, "w") as file:
                for name, array in _fields(episodes).items():
                    _write(file, name, array)
            sha256 = _file_hash(partial)
    info = ShardInfo(index, attempts, tuple(e.n_steps for e in episodes), sha256)
    head = {"format": SHARD_FORMAT, "format_version": FORMAT_VERSION}
    write_json(path.with_suffix(".json"), head | asdict(info))
    return info


def _fields(episodes: Sequence[Episode]) -> dict[str, AnyArray]:
    arrays = concatenated(episodes)
    result = {f"observations/{name}": part for name, part in arrays["observations"].items()}
    result |= {f"labels/{name}": part for name, part in arrays["labels"].items()}
    result |= {name: arrays[name] for name in ("actions", "rewards")}
    result["success"] = np.asarray(arrays["success"], dtype=np.bool_)
    result["seeds"] = np.asarray(arrays["seeds"], dtype=np.int64)
    digests = b"".join(episode.digest() for episode in episodes)
    result["digests"] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    return result


def _write(file: h5py.File, name: str, array: AnyArray) -> None:
    row_bytes = max(array[:1].nbytes, 1)
    rows = min(max(_CHUNK_BYTES // row_bytes, 1), len(array))
    # measured on renders: gzip 1 writes as fast as no filter, and reads twice as fast as lzf
    file.create_dataset(
        name,
        data=array,
        chunks=(rows, *array.shape[1:]),
        compression="gzip",
        compression_opts=1,
        shuffle=array.dtype.itemsize > 1,
    )


def read_info(folder: Path, index: int) -> ShardInfo:
    """The sidecar of shard `index`.

    Raises:
        DataFileError: It is missing, truncated, altered, foreign or of a newer format.
    """
    path = shard_path(folder, index).with_suffix(".json")
    content = require_format(path, read_json(path), SHARD_FORMAT)
    names = {field.name for field in fields(ShardInfo)}
    if set(content) != names | {"format", "format_version"}:
        raise DataFileError(f"{path}: expected the keys {sorted(names)}, got {sorted(content)}.")
    lengths, attempts = content["lengths"], content["attempts"]
    whole = (
        isinstance(lengths, list)
        and all(isinstance(n, int) and n >= 1 for n in lengths)
        and isinstance(attempts, int)
        and attempts >= len(lengths)
        and isinstance(content["sha256"], str)
    )
    if not whole or content["index"] != index:
        raise DataFileError(f"{path}: altered, or renamed from another shard.")
    return ShardInfo(index, attempts, tuple(lengths), content["sha256"])


def has_shard(folder: Path, index: int) -> bool:
    """Whether shard `index` is there with its sidecar."""
    return shard_path(folder, index).with_suffix(".json").exists()


def verify_shard(folder: Path, info: ShardInfo) -> None:
    """Compare the HDF5 file with the checksum of its sidecar.

    Raises:
        DataFileError: The file is missing, truncated or altered.
    """
    path = shard_path(folder, info.index)
    if not info.n_episodes:
        return
    try:
        found = _file_hash(path)
    except OSError as error:
        raise DataFileError(f"{path}: cannot be read ({error}).") from error
    if found != info.sha256:
        raise DataFileError(
            f"{path}: truncated or altered: its SHA-256 is {found[:12]}..., its sidecar says "
            f"{info.sha256[:12]}... Copy it again, or delete the shard's two files and run the "
            "same `parrot collect` once more."
        )


def _file_hash(path: Path) -> str:
    # shards are a few megabytes; hashlib.file_digest needs Python 3.11
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def open_shard(folder: Path, index: int) -> Iterator[h5py.File]:
    """Open the HDF5 file of shard `index` for reading; h5py's errors become `DataFileError`."""
    path = shard_path(folder, index)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(
            f"{path}: truncated, altered or not a shard of this data set ({error})."
        ) from error
