"""A data set on disk: a folder of `dataset.json` and shards, read straight into place.

    dataset.json         format, settings (what the data depend on), facts (spaces, versions, ...)
    shard-000000.h5      episodes, concatenated, losslessly compressed (HDF5)
    shard-000000.json    attempts, lengths, SHA-256 of the .h5 file

Both kinds of JSON are sealed: a `seal` over all else shows whether they were altered.
The data set is the episodes of shards 0, 1, 2, ... in order, cut at `n_episodes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path, require_count, require_instance
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.shards import (
    FORMAT_VERSION,
    ShardInfo,
    has_shard,
    open_shard,
    read_info,
    shard_path,
    write_shard,
)
from parrot_wrapper.errors import DataError, DataFileError, InvalidArgumentError, absence
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.remote import Place, RemotePath, as_place
from parrot_wrapper.io.strict_json import read_stamped, sealed
from parrot_wrapper.types import AnyArray

DATASET_FORMAT = "parrot-episodes"
_PER_STEP = ("actions", "rewards")
_PER_EPISODE = ("success", "seeds", "digests")


@dataclass(frozen=True)
class Manifest:
    """The content of `dataset.json`.

    Attributes:
        n_episodes: How many episodes the data set has when it is complete.
        settings: JSON-able; what the episodes depend on. Only equal settings share a folder.
        facts: JSON-able; what describes them: spaces, labels, versions, counts.
    """

    n_episodes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `dataset.json`, atomically."""
    content = {
        "format": DATASET_FORMAT,
        "format_version": FORMAT_VERSION,
        "n_episodes": manifest.n_episodes,
        "settings": dict(manifest.settings),
        "facts": dict(manifest.facts),
    }
    write_json(folder / "dataset.json", sealed(content))


def read_manifest(folder: str | Place) -> Manifest:
    """Read `dataset.json` of a data set folder."""
    path = as_place("folder", folder) / "dataset.json"
    if not path.exists():
        raise DataFileError(
            f"{folder}: expected a data set folder with dataset.json, found none."
            f"{absence(path.parent)}"
        )
    content = read_stamped(path, DataFileError, newest=FORMAT_VERSION, format=DATASET_FORMAT)
    count, settings, facts = (content.get(k) for k in ("n_episodes", "settings", "facts"))
    if (
        type(count) is not int
        or count < 1
        or not isinstance(settings, dict)
        or not isinstance(facts, dict)
        or len(content) != 5
    ):
        raise DataFileError(
            f"{path}: altered: expected n_episodes, settings and facts, got {sorted(content)}."
        )
    return Manifest(count, settings, facts)


def whole_shards(folder: Place, n_episodes: int | None = None) -> list[ShardInfo]:
    """Shards 0, 1, 2, ... without a gap, as many as are there or as `n_episodes` need."""
    infos: list[ShardInfo] = []
    kept = 0
    if isinstance(folder, RemotePath):
        folder.fetch("shard-*.json")
    while (n_episodes is None or kept < n_episodes) and has_shard(folder, len(infos)):
        infos.append(read_info(folder, len(infos)))
        kept += infos[-1].n_episodes
    return infos


def load_dataset(
    folder: str | Place,
    *,
    n_episodes: int | None = None,
    actions_only: bool = False,
) -> EpisodeDataset:
    """Read a data set into memory.

    Args:
        folder: Where `parrot collect` or `save_dataset` wrote it; or where it was copied to, as a
            URL that fsspec knows, such as "s3://bucket/data".
        n_episodes: Read only the first so many; all of them where left out.
        actions_only: Leave out observations and labels: images are nearly all of the bytes.

    Raises:
        DataFileError: A file is missing, truncated, altered, foreign or of a newer format, or
            the collection has not come as far as asked.
        InvalidArgumentError: `n_episodes` is below 1 or above what the data set has.
    """
    root = as_place("folder", folder)
    manifest, infos = needed_shards(root, n_episodes)
    return read_shards(root, manifest, infos, manifest.n_episodes, actions_only=actions_only)


def needed_shards(root: Place, n_episodes: int | None = None) -> tuple[Manifest, list[ShardInfo]]:
    """What a data set of the first so many episodes says of itself, and their shards."""
    manifest = read_manifest(root)
    wanted = manifest.n_episodes if n_episodes is None else n_episodes
    if not 1 <= wanted <= manifest.n_episodes:
        raise InvalidArgumentError(
            f"Expected n_episodes within 1 ... {manifest.n_episodes} for {root}, got {wanted}."
        )
    infos = whole_shards(root, wanted)
    found = sum(info.n_episodes for info in infos)
    if found < wanted:
        raise DataFileError(
            f"{root}: expected {wanted} episodes, got {found} in whole shards 0 ... "
            f"{len(infos) - 1}; {shard_path(root, len(infos)).name} is missing. Run the same "
            f"`parrot collect` again to finish it, or load n_episodes={found}."
        )
    return replace(manifest, n_episodes=wanted), infos


def read_shards(
    root: Place,
    manifest: Manifest,
    infos: Sequence[ShardInfo],
    n_episodes: int,
    *,
    actions_only: bool = False,
) -> EpisodeDataset:
    """Read the first so many episodes of some shards; see `load_dataset`."""
    lengths = np.array([n for info in infos for n in info.lengths], dtype=np.int64)[:n_episodes]
    skipped = ("observations", "labels") if actions_only else ()
    arrays = _read_arrays(root, infos, lengths, skipped)
    _require_action_box(root, manifest, arrays["actions"].shape[1])
    return EpisodeDataset(
        observations=_named(arrays, "observations/"),
        labels=_named(arrays, "labels/"),
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        success=arrays["success"],
        seeds=arrays["seeds"],
        lengths=lengths,
        metadata={**manifest.facts, "settings": dict(manifest.settings)},
        digests=arrays["digests"],
    )


def _require_action_box(folder: Place, manifest: Manifest, action_dim: int) -> None:
    try:
        box = manifest.facts["spaces"]["action"]
        edges = [np.asarray(box[edge], dtype=np.float32) for edge in ("low", "high")]
    except (KeyError, TypeError, ValueError) as error:
        raise DataFileError(
            f"{folder / 'dataset.json'}: altered: expected facts.spaces.action.low and .high."
        ) from error
    if any(edge.shape != (action_dim,) for edge in edges):
        raise DataFileError(
            f"{folder / 'dataset.json'}: altered: expected an action box of {action_dim} "
            f"dimensions as in the shards, got {[edge.shape for edge in edges]}."
        )


def _named(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _read_arrays(
    folder: Place,
    infos: Sequence[ShardInfo],
    lengths: np.ndarray[Any, np.dtype[np.int64]],
    skipped: tuple[str, ...],
) -> dict[str, AnyArray]:
    """Read the episodes with the given lengths, each field into one preallocated array."""
    arrays: dict[str, AnyArray] = {}
    first = 0
    for info in infos:
        count = min(info.n_episodes, len(lengths) - first)
        if not count:
            continue
        with open_shard(folder, info) as stored:
            fields = _chosen(stored, skipped)
            if not arrays:
                arrays = _empty(fields, info, lengths)
            if set(fields) != set(arrays):
                raise KeyError(f"has {sorted(fields)}, the shards before have {sorted(arrays)}")
            _require_shapes(fields, info, arrays)
            for name, item in fields.items():
                start = _rows(name, lengths[:first])
                read = _rows(name, np.array(info.lengths[:count]))
                item.read_direct(arrays[name], np.s_[:read], np.s_[start : start + read])
        first += count
    return arrays


def _empty(
    fields: Mapping[str, Any], info: ShardInfo, lengths: np.ndarray[Any, np.dtype[np.int64]]
) -> dict[str, AnyArray]:
    _require_shapes(fields, info, fields)  # before memory is taken for what a file claims
    try:
        return {
            name: np.empty((_rows(name, lengths), *item.shape[1:]), item.dtype)
            for name, item in fields.items()
        }
    except MemoryError as error:
        raise DataFileError(
            f"Expected a data set that fits into memory, got {len(lengths)} episodes with "
            f"{int(lengths.sum())} steps ({error}). Load fewer with n_episodes."
        ) from error


def _require_shapes(fields: Mapping[str, Any], info: ShardInfo, like: Mapping[str, Any]) -> None:
    """Compare a shard's arrays with its sidecar, and with the shape of a row in `like`."""
    for name, item in fields.items():
        rows = _rows(name, np.array(info.lengths))
        if item.shape != (rows, *like[name].shape[1:]) or item.dtype != like[name].dtype:
            raise ValueError(f"{name} has shape {item.shape} and dtype {item.dtype}")


def _chosen(stored: Mapping[str, Any], skipped: tuple[str, ...]) -> dict[str, Any]:
    found = {name: stored[name] for name in (*_PER_STEP, *_PER_EPISODE)}
    for group in ("observations", "labels"):
        if group not in skipped:
            found |= {n: item for n, item in stored.items() if n.startswith(f"{group}/")}
    return found


def _rows(name: str, lengths: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    if name in _PER_EPISODE:
        return len(lengths)
    return int(lengths.sum()) + (0 if name in _PER_STEP else len(lengths))


def save_dataset(
    dataset: EpisodeDataset, folder: str | Path, *, episodes_per_shard: int = 64
) -> None:
    """Write a data set that was made in memory, so that `load_dataset` and `parrot` can read it.

    Args:
        dataset: What to write; its metadata must be JSON-able.
        folder: A folder that does not have a data set yet. `dataset.json` is written last.
        episodes_per_shard: How many episodes share a file.

    Raises:
        DataFileError: There is a data set in `folder` already.
        DataError: The metadata cannot be written as JSON.
        InvalidArgumentError: An argument is of another type or out of range.
        WriteError: The disk is full, the folder read-only, or the like.
    """
    root = as_path("folder", folder)
    require_instance("dataset", dataset, EpisodeDataset, "an EpisodeDataset")
    require_count("episodes_per_shard", episodes_per_shard)
    if (root / "dataset.json").exists() or has_shard(root, 0):
        raise DataFileError(f"{root}: expected a folder without a data set, found one. Delete it.")
    facts = {key: value for key, value in dataset.metadata.items() if key != "settings"}
    settings = dataset.metadata.get("settings", {})
    try:
        json.dumps([facts, settings], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Expected JSON-able metadata, got a value that is not: {error}."
        ) from error
    for index, start in enumerate(range(0, dataset.n_episodes, episodes_per_shard)):
        stop = min(start + episodes_per_shard, dataset.n_episodes)
        episodes = [dataset.episode(i) for i in range(start, stop)]
        write_shard(root, index, episodes, attempts=len(episodes))
    write_manifest(root, Manifest(dataset.n_episodes, settings, facts))
