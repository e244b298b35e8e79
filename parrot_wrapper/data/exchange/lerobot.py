"""LeRobot folders, versions 2.x and 3.x, read without the lerobot package."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.data.exchange.guarded_files import foreign_errors, inside
from parrot_wrapper.data.exchange.images import decoded, resized, video_frames
from parrot_wrapper.data.exchange.lerobot_layout import (
    EpisodeFiles,
    Layout,
    column_array,
    read_layout,
    read_parquet,
)
from parrot_wrapper.data.exchange.source import Choice, Part, RawEpisode, Source, last_success
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.types import AnyArray, ImageArray

_CAMERAS = ("video", "image")
_BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def open_lerobot(path: str | Path, image_size: tuple[int, int] | None = None) -> Source:
    """A LeRobot folder, ready to be read.

    An episode has succeeded if its last success says so, or else `success` in the list of
    episodes. There is no observation after the last action, and the action box is not told.

    Args:
        path: The folder, with `meta/info.json` in it.
        image_size: Height and width that frames are brought to as they are decoded.
    """
    layout = read_layout(as_path("path", path))
    with foreign_errors(layout.root / "meta/info.json", "features with dtype and shape"):
        fields = {
            key: _part(feature)
            for key, feature in layout.features.items()
            if key not in _BOOKKEEPING and _usable(feature)
        }
    return Source(
        str(path),
        {key: part for key, part in fields.items() if not key.startswith("next.")},
        fields,
        len(layout.episodes),
        lambda choice: _read(layout, choice, image_size),
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
    try:
        dtype = np.dtype(feature["dtype"])
    except TypeError:
        dtype = np.dtype(object)  # some kind that is no number, and is refused where it is wanted
    return Part(() if shape == (1,) else shape, dtype)


def _read(
    layout: Layout, choice: Choice, image_size: tuple[int, int] | None
) -> Iterator[RawEpisode]:
    columns = [*choice.fields, "episode_index", *choice.keys]

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
        for key in choice.keys:
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
        yield _episode(layout, choice, episode, own, path, observations)


def _episode(
    layout: Layout,
    choice: Choice,
    episode: EpisodeFiles,
    table: Any,
    path: Path,
    observations: dict[str, AnyArray],
) -> RawEpisode:
    actions = column_array(table, choice.action, path)
    rewards, success = (
        column_array(table, key, path) if key and key in table.column_names else None
        for key in (choice.reward, choice.success)
    )
    succeeded = last_success(success)
    return RawEpisode(
        f"{layout.root}: episode {episode.index}",
        observations,
        actions[:, None] if actions.ndim == 1 else actions,
        rewards,
        episode.success if succeeded is None else succeeded,
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
