"""LeRobot folders, read without the lerobot package.

Versions 2.0 and 2.1 have one file an episode and list episodes in `meta/episodes.jsonl`; version
3.0 packs many into a file and lists them in `meta/episodes/chunk-000/file-000.parquet`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.data.exchange.guarded_files import (
    MAX_ARRAY_BYTES,
    foreign_errors,
    inside,
    is_hidden,
    read_json_file,
    read_json_lines,
)
from parrot_wrapper.data.exchange.images import decoded, resized, video_frames
from parrot_wrapper.data.exchange.source import Choice, Part, RawEpisode, Source, last_success
from parrot_wrapper.errors import DataError, DataFileError, absence, needed_extra
from parrot_wrapper.types import AnyArray, ImageArray

_FIELD = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")
_DEFAULT_CHUNK = 1000
_VALUE_BYTES = 8


@dataclass(frozen=True)
class EpisodeFiles:
    """Where an episode is.

    Attributes:
        index: Of the episode.
        length: Steps.
        places: Values of the fields of path templates, by feature key; "" for the table.
        start_times: By video key: where in the video the episode begins, in seconds.
        success: What the list of episodes says of it, or None.
    """

    index: int
    length: int
    places: Mapping[str, Mapping[str, int | str]]
    start_times: Mapping[str, float] = field(default_factory=dict)
    success: bool | None = None


@dataclass(frozen=True)
class Layout:
    """A LeRobot folder.

    Attributes:
        root: The folder.
        version: Of its format, such as "v2.1".
        fps: Frames per second.
        features: Key to description, as in `meta/info.json`.
        data_path: Template of the tables' paths.
        video_path: Template of the videos' paths; empty where there are none.
        episodes: In order.
        robot_type: As told.
    """

    root: Path
    version: str
    fps: float
    features: Mapping[str, Mapping[str, Any]]
    data_path: str
    video_path: str
    episodes: tuple[EpisodeFiles, ...]
    robot_type: str

    def table(self, episode: EpisodeFiles) -> Path:
        """The table that has the episode's rows."""
        return inside(self.root, filled_template(self.data_path, episode.places[""]))

    def video(self, episode: EpisodeFiles, key: str) -> Path:
        """The video that has the episode's images of camera `key`."""
        if key not in episode.places or not self.video_path:
            raise DataFileError(
                f"{self.root}: expected a video of {key!r} for episode {episode.index}, but its "
                "metadata name none. Choose the cameras with image_key (--image-key)."
            )
        return inside(self.root, filled_template(self.video_path, episode.places[key]))


def filled_template(template: str, values: Mapping[str, int | str]) -> str:
    """A path template with its fields filled in; nothing of `str.format` but `{name:03d}`.

    Example:
        >>> filled_template("data/chunk-{chunk_index:03d}/x.parquet", {"chunk_index": 7})
        'data/chunk-007/x.parquet'
    """

    def fill(found: re.Match[str]) -> str:
        value = values.get(found[1])
        if value is None:
            raise DataFileError(
                f"Expected a path template with the fields {', '.join(values)}, got {template!r}."
            )
        return f"{value:0{found[2]}d}" if found[2] and isinstance(value, int) else str(value)

    path = _FIELD.sub(fill, template)
    if "{" in path or "}" in path:
        raise DataFileError(
            f"Expected a path template with fields such as {{episode_index:06d}}, got {template!r}."
        )
    return path


def read_layout(root: Path) -> Layout:
    """Read and check the metadata of a LeRobot folder, of a version that is known."""
    if not (root / "meta" / "info.json").is_file():
        raise DataFileError(
            f"{root}: expected a LeRobot folder with meta/info.json, found none.{absence(root)}"
        )
    path = inside(root, "meta/info.json")
    info = read_json_file(path)
    with foreign_errors(path, "the description of a LeRobot data set"):
        version = str(info["codebase_version"])
        features = {str(key): dict(value) for key, value in info["features"].items()}
        fps, total = float(info["fps"]), int(info["total_episodes"])
        chunk = int(info.get("chunks_size") or _DEFAULT_CHUNK)
        data_path, video_path = str(info["data_path"]), str(info.get("video_path") or "")
        if not (fps > 0 and chunk > 0):
            raise ValueError(f"fps is {fps}, chunks_size {chunk}")
    cameras = [key for key, feature in features.items() if feature.get("dtype") == "video"]
    if version.startswith("v2."):
        episodes = _listed_by_line(root, chunk, cameras)
    elif version.startswith("v3."):
        episodes = _listed_in_tables(root, cameras)
    else:
        raise DataFileError(f"{path}: expected codebase_version v2.x or v3.x, got {version!r}.")
    if not episodes:
        raise DataError(f"{root}: expected at least one episode, got none.")
    if len(episodes) != total:
        raise DataFileError(
            f"{root}: expected {total} episodes as meta/info.json says, found {len(episodes)} "
            "listed. The download may be incomplete."
        )
    return Layout(
        root, version, fps, features, data_path, video_path, episodes, str(info.get("robot_type"))
    )


def _listed_by_line(root: Path, chunk: int, cameras: list[str]) -> tuple[EpisodeFiles, ...]:
    path = inside(root, "meta/episodes.jsonl")
    episodes = []
    with foreign_errors(path, "one JSON object a line, an episode each"):
        for row in read_json_lines(path):
            index = int(row["episode_index"])
            place: dict[str, int | str] = {"episode_chunk": index // chunk, "episode_index": index}
            places = {"": place, **{key: {**place, "video_key": key} for key in cameras}}
            episodes.append(
                EpisodeFiles(
                    index,
                    int(row["length"]),
                    places,
                    dict.fromkeys(cameras, 0.0),
                    _told_success(row),
                )
            )
    return tuple(sorted(episodes, key=lambda episode: episode.index))


def _listed_in_tables(root: Path, cameras: list[str]) -> tuple[EpisodeFiles, ...]:
    found = (p.relative_to(root).as_posix() for p in root.glob("meta/episodes/*/*.parquet"))
    names = sorted(name for name in found if not is_hidden(name))
    wanted = ["episode_index", "length", "success", "data/chunk_index", "data/file_index"]
    for key in cameras:
        wanted += [f"videos/{key}/{n}" for n in ("chunk_index", "file_index", "from_timestamp")]
    episodes = []
    for name in names:
        path = inside(root, name)
        table = read_parquet(path, wanted)
        with foreign_errors(path, "a list of LeRobot's episodes"):
            for row in table.to_pylist():
                places: dict[str, Mapping[str, int | str]] = {"": _place(row, "data")}
                told = [k for k in cameras if row.get(f"videos/{k}/from_timestamp") is not None]
                for key in told:
                    places[key] = {**_place(row, f"videos/{key}"), "video_key": key}
                starts = {key: float(row[f"videos/{key}/from_timestamp"]) for key in told}
                episodes.append(
                    EpisodeFiles(
                        int(row["episode_index"]), int(row["length"]), places, starts,
                        _told_success(row),
                    )
                )  # fmt: skip
    return tuple(sorted(episodes, key=lambda episode: episode.index))


def _place(row: Mapping[str, Any], prefix: str) -> dict[str, int | str]:
    return {name: int(row[f"{prefix}/{name}"]) for name in ("chunk_index", "file_index")}


def _told_success(row: Mapping[str, Any]) -> bool | None:
    told = row.get("success")
    return told if isinstance(told, bool) else None


def read_parquet(path: Path, columns: Sequence[str]) -> Any:
    """The columns of a table that are there, as a `pyarrow.Table`; bombs are refused unread."""
    with needed_extra("lerobot", "LeRobot folders need pyarrow"):
        from pyarrow import parquet
    with foreign_errors(path, "a Parquet table"), parquet.ParquetFile(path) as file:
        chosen = [name for name in columns if name in file.schema_arrow.names]
        claimed = 0
        for group in range(file.metadata.num_row_groups):
            for index in range(file.metadata.num_columns):
                column = file.metadata.row_group(group).column(index)
                if any(f"{column.path_in_schema}.".startswith(f"{name}.") for name in chosen):
                    # one repeated value takes no room in the file, but does in memory
                    claimed += max(column.total_uncompressed_size, column.num_values * _VALUE_BYTES)
        if claimed > MAX_ARRAY_BYTES:
            raise DataFileError(
                f"{path}: claims {claimed} bytes; at most {MAX_ARRAY_BYTES} are read at once."
            )
        # Threads would win little and keep more of the file in memory.
        return file.read(columns=chosen, use_threads=False)


def column_array(table: Any, name: str, path: Path) -> AnyArray:
    """A column of numbers, or of equally long lists of them, as an array (rows,) or (rows, ...)."""
    if name not in table.column_names:
        raise DataFileError(
            f"{path}: expected a column {name!r}, got {', '.join(table.column_names) or 'none'}."
        )
    with foreign_errors(path, f"numbers in the column {name!r}"):
        import pyarrow as arrow

        column = table[name].combine_chunks()
        column = getattr(column, "storage", column)  # fixed shapes are stored as nested lists
        shape = [len(column)]
        while arrow.types.is_list(column.type) or arrow.types.is_fixed_size_list(column.type):
            rows, column = len(column), column.flatten()
            if not rows or len(column) % rows:
                raise ValueError("lists of different lengths")
            shape.append(len(column) // rows)
        numbers = arrow.types.is_floating(column.type) or arrow.types.is_integer(column.type)
        if not numbers and not arrow.types.is_boolean(column.type):
            raise ValueError(f"the type is {table.schema.field(name).type}")
        values: AnyArray = np.asarray(column.to_numpy(zero_copy_only=False))
        if values.dtype.kind not in "fiub":
            raise ValueError("there are empty cells")
        return values.reshape(shape)


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
