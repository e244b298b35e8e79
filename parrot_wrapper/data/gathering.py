"""A data set whose shards several calls have made, each in a folder of its own, put together."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from parrot_wrapper.checks import as_path, differences, require_count
from parrot_wrapper.data.shards import ShardInfo, has_shard, read_info, shard_path, verify_shard
from parrot_wrapper.data.storage import Manifest, read_manifest, write_manifest
from parrot_wrapper.errors import DataFileError, InvalidArgumentError
from parrot_wrapper.io.atomic_files import atomic_path, clear_strays
from parrot_wrapper.io.locking import folder_lock

_PART = re.compile(r"part-(\d+)-of-(\d+)")


def part_folder(folder: Path, rank: int, world_size: int) -> Path:
    """Where a rank makes its shards."""
    return folder / f"part-{rank:05d}-of-{world_size:05d}"


def require_rank(rank: int, world_size: int) -> None:
    """Refuse a rank that is none."""
    if type(rank) is not int or not 0 <= rank < world_size:
        raise InvalidArgumentError(
            f"Expected a rank within 0 ... {world_size - 1} for {world_size} parts, got {rank!r}."
        )


def gather(
    folder: str | Path, parts: Sequence[str | Path] = (), *, n_episodes: int | None = None
) -> Manifest:
    """Put the parts of a collection together; what was put together before is left as it is.

    The result is that of one call that made all shards. Shards are linked where the disk allows it,
    and copied elsewhere; the parts stay.

    Args:
        folder: The data set's folder.
        parts: Folders of the parts; those below `folder` where left out.
        n_episodes: How many episodes the data set has; as many as the parts were asked for where
            left out.

    Returns:
        What `dataset.json` says.
    """
    root = as_path("folder", folder)
    places = [as_path("part", part) for part in parts] or sorted(root.glob("part-*-of-*"))
    if not places:
        raise DataFileError(
            f"{root}: expected parts of a collection, such as {part_folder(root, 0, 2).name}, "
            "found none. `parrot collect --world-size` makes them."
        )
    manifest = _common(places, root)
    if n_episodes is not None:
        require_count("n_episodes", n_episodes)
        manifest = replace(manifest, n_episodes=n_episodes)
    with folder_lock(root):
        clear_strays(root)
        infos = list(_enough(root, places, manifest.n_episodes))
        counts = {
            "attempts": sum(info.attempts for info in infos),
            "kept": sum(info.n_episodes for info in infos),
        }
        whole = replace(manifest, facts={**manifest.facts, "counts": counts})
        write_manifest(root, whole)
    return whole


def _common(places: Sequence[Path], root: Path) -> Manifest:
    """What all parts say of the data set; and the data set itself, where it is there."""
    first = read_manifest(places[0])
    known = [root] if (root / "dataset.json").exists() else []
    for place in (*places[1:], *known):
        other = read_manifest(place)
        found, wanted = _fixed(other), _fixed(first)
        if differing := differences(found, wanted):
            raise DataFileError(
                f"{place}: expected what {places[0]} was collected with, got other settings or "
                f"versions ({differing}). Remove one of them, or gather into another folder."
            )
    facts = {key: value for key, value in first.facts.items() if key != "counts"}
    return replace(first, facts=facts)


def _fixed(manifest: Manifest) -> Mapping[str, Any]:
    return {**manifest.settings, "versions": manifest.facts.get("versions")}


def _enough(root: Path, places: Sequence[Path], n_episodes: int) -> Iterator[ShardInfo]:
    """Bring shards 0, 1, 2, ... in, until they have the episodes."""
    kept = index = 0
    while kept < n_episodes:
        if not has_shard(root, index):
            _bring(root, places, index, f"{kept} of {n_episodes} episodes are there")
        info = read_info(root, index)
        yield info
        kept += info.n_episodes
        index += 1


def _bring(root: Path, places: Sequence[Path], index: int, so_far: str) -> None:
    place = next((place for place in places if has_shard(place, index)), None)
    if place is None:
        raise DataFileError(
            f"{root}: {so_far}, and shard {index} is missing. {_remedy(places, index)}"
        )
    verify_shard(place, read_info(place, index))
    source, target = shard_path(place, index), shard_path(root, index)
    for suffix in (".h5", ".json"):  # in this order: the sidecar makes the shard count
        if source.with_suffix(suffix).exists():
            _link(source.with_suffix(suffix), target.with_suffix(suffix))


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):  # another disk, or one without links
        target.unlink(missing_ok=True)
        os.link(source, target)
        return
    with atomic_path(target) as partial:
        shutil.copyfile(source, partial)


def _remedy(places: Sequence[Path], index: int) -> str:
    sizes = {int(found[2]) for place in places if (found := _PART.fullmatch(place.name))}
    ranks = [f"rank {index % size} of {size}" for size in sorted(sizes)]
    whose = " or ".join(ranks) or "another part"
    return (
        f"Run the same `parrot collect` of {whose} again; where it says that it is done, with a "
        "few more --episodes."
    )
