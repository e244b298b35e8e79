"""One shard: an HDF5 file of concatenated episodes and a JSON sidecar that makes it count.

The sidecar is written last and has the SHA-256 of the HDF5 file, so a shard without a sidecar
is a torn one, and one that does not match its sidecar has been altered. HDF5 reads and writes in
memory only: its library sees no byte whose checksum is not right (altered ones can crash it), and
a full disk is met by an ordinary write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np

from parrot_wrapper.data.checks import concatenated
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.errors import DataFileError, needed_extra
from parrot_wrapper.io.atomic_files import atomic_path, write_json
from parrot_wrapper.io.remote import Place, RemotePath
from parrot_wrapper.io.strict_json import read_stamped, sealed
from parrot_wrapper.types import AnyArray

with needed_extra("data", "Data sets on disk need h5py"):
    import h5py

SHARD_FORMAT = "parrot-shard"
FORMAT_VERSION = 1
_CHUNK_BYTES = 192 * 1024  # about one episode of 48x48 images: a cut in mid-shard wastes little
_MOST_STEPS = 2**31  # of one episode; sums of a million such still fit into 64 bits
_MOST_PACKED = 1_100  # gzip packs 1032 bytes into one at best
_FILTERS = (None, "gzip")


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


@overload
def shard_path(folder: Path, index: int) -> Path: ...


@overload
def shard_path(folder: RemotePath, index: int) -> RemotePath: ...


def shard_path(folder: Place, index: int) -> Place:
    """The HDF5 file of shard `index`; its sidecar has the suffix `.json` instead."""
    return folder / f"shard-{index:06d}.h5"


def write_shard(
    folder: Path, index: int, episodes: Sequence[Episode], *, attempts: int
) -> ShardInfo:
    """Write a shard, whole or not at all.

    Args:
        folder: The data set's folder.
        index: Place of the shard in the data set, from 0.
        episodes: The kept ones, in order; may be empty.
        attempts: How many were tried.
    """
    path, sha256 = shard_path(folder, index), ""
    if episodes:
        with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
            for name, array in _fields(episodes).items():
                _write(file, name, array)
            file.flush()
            image = file.id.get_file_image()
        sha256 = hashlib.sha256(image).hexdigest()
        with atomic_path(path) as partial:
            partial.write_bytes(image)
    info = ShardInfo(index, attempts, tuple(e.n_steps for e in episodes), sha256)
    head = {"format": SHARD_FORMAT, "format_version": FORMAT_VERSION}
    write_json(path.with_suffix(".json"), sealed(head | asdict(info)))
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


def read_info(folder: Place, index: int) -> ShardInfo:
    """The sidecar of shard `index`."""
    path = shard_path(folder, index).with_suffix(".json")
    content = read_stamped(path, DataFileError, newest=FORMAT_VERSION, format=SHARD_FORMAT)
    names = {field.name for field in fields(ShardInfo)}
    if set(content) != names | {"format", "format_version"}:
        raise DataFileError(f"{path}: expected the keys {sorted(names)}, got {sorted(content)}.")
    lengths, attempts = content["lengths"], content["attempts"]
    whole = (
        isinstance(lengths, list)
        and all(type(n) is int and 1 <= n < _MOST_STEPS for n in lengths)
        and type(attempts) is int
        and attempts >= len(lengths)
        and isinstance(content["sha256"], str)
    )
    if not whole or content["index"] != index:
        raise DataFileError(f"{path}: altered, or renamed from another shard.")
    return ShardInfo(index, attempts, tuple(lengths), content["sha256"])


def has_shard(folder: Place, index: int) -> bool:
    """Whether shard `index` is there with its sidecar."""
    return shard_path(folder, index).with_suffix(".json").exists()


def verify_shard(folder: Place, info: ShardInfo) -> None:
    """Refuse an HDF5 file that is missing or does not have the checksum of its sidecar."""
    path = shard_path(folder, info.index)
    if not info.n_episodes:
        return
    _checked_bytes(path, info)


def _checked_bytes(path: Place, info: ShardInfo) -> bytes:
    # shards are a few megabytes
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataFileError(f"{path}: cannot be read ({error}).") from error
    found = hashlib.sha256(content).hexdigest()
    if found != info.sha256:
        raise DataFileError(
            f"{path}: truncated or altered: its SHA-256 is {found[:12]}..., its sidecar says "
            f"{info.sha256[:12]}... Copy it again, or delete the shard's two files and run the "
            "same `parrot collect` once more."
        )
    return content


@contextmanager
def open_shard(folder: Place, info: ShardInfo) -> Iterator[dict[str, h5py.Dataset]]:
    """Open the HDF5 file of a shard for reading, once its checksum is found right.

    Yields:
        Its arrays by name, such as "actions" and "observations/image".
    """
    path = shard_path(folder, info.index)
    content = _checked_bytes(path, info)
    try:
        with h5py.File(h5py.h5f.open_file_image(content), "r") as file:
            yield _arrays(file, len(content))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(
            f"{path}: truncated, altered or not a shard of this data set ({error})."
        ) from error


def _arrays(file: h5py.File, n_bytes: int) -> dict[str, h5py.Dataset]:
    """The arrays of a file: no links to others, no filters but ours, no more than it can hold."""
    links: dict[str, Any] = {}
    file.visititems_links(links.__setitem__)
    found: dict[str, h5py.Dataset] = {}
    for name, link in links.items():
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link to somewhere else")
        item = file[name]
        if isinstance(item, h5py.Group):
            continue
        found[name] = item
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "bfiu":
            raise ValueError(f"{name} is no array of numbers")
        if item.external or item.is_virtual or item.compression not in _FILTERS:
            raise ValueError(f"{name} is stored in a way that shards are not")
        if item.nbytes > _MOST_PACKED * n_bytes:
            raise ValueError(f"{name} of shape {item.shape} cannot come out of {n_bytes} bytes")
    return found
