"""LeRobot folders, versions 2.x and 3.x, read without the lerobot package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.data.exchange.guarded_files import foreign_errors, inside
from parrot_wrapper.data.exchange.images import decoded, resized
from parrot_wrapper.data.exchange.lerobot_layout import EpisodeFiles, Layout, read_layout
from parrot_wrapper.data.exchange.parquet import column_array, read_parquet
from parrot_wrapper.data.exchange.source import Part, RawEpisode, Source
from parrot_wrapper.data.exchange.video import video_frames
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.types import AnyArray, ImageArray

_ACTION, _REWARD, _SUCCESS = "action", "next.reward", "next.success"
_CAMERAS = ("video", "image")


def open_lerobot(path: str | Path, image_size: tuple[int, int] | None = None) -> Source:
    """A LeRobot folder, ready to be read.

    An episode has succeeded if its last `next.success` says so, or else `success` in the list of
    episodes. There is no observation after the last action, and the action box is not told.

    Args:
        path: The folder, with `meta/info.json` in it.
        image_size: Height and width that frames are brought to as they are decoded.

    Raises:
        DataFileError: It is none, is broken, of another version, or leads out of the folder.
        DataError: It has no episodes.
        MissingExtraError: pyarrow is not installed.
    """
    layout = read_layout(as_path("path", path))
    if _ACTION not in layout.features:
        raise DataFileError(
            f"{path}: expected a feature {_ACTION!r}, got {', '.join(layout.features)}."
        )
    with foreign_errors(layout.root / "meta/info.json", "features with dtype and shape"):
        parts = {
            key: _part(feature)
            for key, feature in layout.features.items()
            if key.startswith("observation") and _usable(feature)
        }
    return Source(
        str(path),
        parts,
        len(layout.episodes),
        lambda keys: _read(layout, keys, image_size),
        facts={
            "lerobot": {
                "codebase_version": layout.version,
                "fps": layout.fps,
                "robot_type": layout.robot_type,
            }
        },
    )


def _usable(feature: Any) -> bool:
    told = feature.get("info") or {}
    depth = told.get("video.is_depth_map") or told.get("is_depth_map")
    return bool(feature.get("dtype") != "string" and not depth)


def _part(feature: Any) -> Part:
    shape = tuple(int(side) for side in feature["shape"])
    if feature["dtype"] in _CAMERAS:
        return Part(shape, np.dtype(np.uint8))
    return Part(() if shape == (1,) else shape, np.dtype(feature["dtype"]))


def _read(
    layout: Layout, keys: Sequence[str], image_size: tuple[int, int] | None
) -> Iterator[RawEpisode]:
    columns = [_ACTION, _REWARD, _SUCCESS, "episode_index", *keys]

    # episodes of version 3 share a table; they come in order, so the last one is enough
    @lru_cache(maxsize=1)
    def table_of(path: Path) -> tuple[Any, AnyArray]:
        table = read_parquet(path, columns)
        return table, column_array(table, "episode_index", path)

    def shrink(images: ImageArray) -> ImageArray:
        return images if image_size is None else resized(images, image_size)

    for episode in layout.episodes:
        path = layout.table(episode)
        table, owners = table_of(path)
        rows = np.flatnonzero(owners == episode.index)
        if not len(rows) or len(rows) != episode.length or rows[-1] - rows[0] != len(rows) - 1:
            raise DataFileError(
                f"{path}: expected {episode.length} rows one after the other for episode "
                f"{episode.index}, got {len(rows)}."
            )
        own = table.slice(int(rows[0]), len(rows))
        observations: dict[str, AnyArray] = {}
        for key in keys:
            dtype = layout.features[key]["dtype"]
            if dtype == "video":
                observations[key] = video_frames(
                    layout.video(episode, key),
                    start=episode.start_times[key],
                    count=len(rows),
                    fps=layout.fps,
                    shrink=shrink,
                )
            elif dtype == "image":
                images = (shrink(image[None]) for image in _images(layout, own, key, path))
                observations[key] = _joined(list(images), key, path)
            else:
                observations[key] = column_array(own, key, path)
        yield _episode(layout, episode, own, path, observations)


def _episode(
    layout: Layout,
    episode: EpisodeFiles,
    table: Any,
    path: Path,
    observations: dict[str, AnyArray],
) -> RawEpisode:
    actions = column_array(table, _ACTION, path)
    success = episode.success
    if _SUCCESS in table.column_names:
        success = bool(column_array(table, _SUCCESS, path).reshape(-1)[-1])
    rewards = None
    if _REWARD in table.column_names:
        rewards = column_array(table, _REWARD, path).reshape(-1)
    return RawEpisode(
        f"{layout.root}: episode {episode.index}",
        observations,
        actions.reshape(len(actions), -1),
        rewards,
        success,
    )


def _images(layout: Layout, table: Any, key: str, path: Path) -> Iterator[ImageArray]:
    """Images that are kept in the table, as bytes or by the path of a file in the folder."""
    if key not in table.column_names:
        raise DataFileError(f"{path}: expected a column {key!r}, got {table.column_names}.")
    for row in range(table.num_rows):
        with foreign_errors(path, f"images in the column {key!r}"):
            cell = table[key][row].as_py()
            content, name = cell.get("bytes"), cell.get("path")
            if content is None:
                content = inside(layout.root, str(name)).read_bytes()
        yield decoded(content, path)


def _joined(images: list[ImageArray], key: str, path: Path) -> ImageArray:
    sizes = {image.shape[1:] for image in images}
    if len(sizes) > 1:
        raise DataFileError(
            f"{path}: expected images of one size in {key!r}, got {sorted(sizes)}. Bring them to "
            "one with image_size (--image-size)."
        )
    return np.concatenate(images)
