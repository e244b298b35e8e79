"""Our data sets as LeRobot folders, version 3.0, without the lerobot package."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path, is_number
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataFileError, InvalidArgumentError, needed_extra
from parrot_wrapper.io.atomic_files import atomic_folder, write_json
from parrot_wrapper.types import AnyArray

_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_FIRST = "chunk-000/file-000.parquet"
_CODED_CHANNELS = (1, 3)
"""Of images that LeRobot reads."""
_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_BOOKKEEPING = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
_BRIGHTEST = 255.0


@dataclass(frozen=True)
class _Column:
    """A feature of the folder: its dtype as LeRobot calls it, and the values (N, ...)."""

    dtype: str
    values: AnyArray


def export_lerobot(
    dataset: EpisodeDataset, folder: str | Path, *, fps: float = 10.0, task: str = "task"
) -> Path:
    """Write a data set as a LeRobot folder; it appears whole or not at all.

    Images are kept without loss, as PNG in the table. "image" becomes `observation.image`, other
    images `observation.images.NAME`, "proprio" `observation.state`, and "state"
    `observation.environment_state`, or `observation.state` where it is the only vector of data
    without images. Rewards and success are `next.reward` and `next.success`. LeRobot keeps as many
    observations as actions: the last one of each episode is left out.

    Args:
        dataset: What to write.
        folder: Where to; new.
        fps: Env steps in a second, which LeRobot's times go by.
        task: Instruction that policies may read.

    Returns:
        The folder.

    Raises:
        DataFileError: The folder is there already.
        InvalidArgumentError: fps is not positive, or images have neither 1 nor 3 channels.
        MissingExtraError: pyarrow or Pillow is not installed.
        WriteError: The disk is full, or the like.
    """
    target = as_path("folder", folder)
    if target.exists():
        raise DataFileError(f"{target}: expected no such folder yet. Choose another one.")
    if not is_number(fps) or not 0.0 < fps < np.inf:
        raise InvalidArgumentError(f"Expected fps, env steps in a second, above 0, got {fps!r}.")
    with needed_extra("lerobot", "LeRobot folders need pyarrow and Pillow"):
        import PIL  # noqa: F401
        import pyarrow  # noqa: F401
    columns = dict(_columns(dataset, fps))
    with atomic_folder(target) as work:
        for name in ("meta/episodes", "data"):
            (work / name / "chunk-000").mkdir(parents=True)
        write_json(work / "meta/info.json", _info(dataset, columns, fps))
        write_json(work / "meta/stats.json", {key: _statistics(c) for key, c in columns.items()})
        _write_table(work / "data" / _FIRST, {key: _cells(c) for key, c in columns.items()})
        _write_table(work / "meta/episodes" / _FIRST, _episodes(dataset, task))
        _write_tasks(work / "meta/tasks.parquet", task)
    return target


def _columns(dataset: EpisodeDataset, fps: float) -> Iterator[tuple[str, _Column]]:
    rows = dataset.observation_rows()
    for name, values in dataset.observations.items():
        image = values.dtype == np.uint8
        if image and values.shape[-1] not in _CODED_CHANNELS:
            raise InvalidArgumentError(
                f"Expected images of 1 or 3 channels, got {name} with {values.shape[-1]}; LeRobot "
                "stacks frames itself."
            )
        key = _key(name, image=image, alone=len(dataset.observations) == 1)
        yield key, _Column("image" if image else "float32", values[rows])
    steps = np.concatenate([np.arange(length) for length in dataset.lengths])
    owners = np.repeat(np.arange(dataset.n_episodes), dataset.lengths)
    last = steps == dataset.lengths[owners] - 1
    yield "action", _Column("float32", dataset.actions)
    yield "next.reward", _Column("float32", dataset.rewards)
    yield "next.success", _Column("bool", last & dataset.success[owners])
    told = (steps / fps, steps, owners, np.arange(len(steps)), np.zeros(len(steps)))
    for (key, dtype), values in zip(_BOOKKEEPING.items(), told, strict=True):
        yield key, _Column(dtype, values.astype(dtype))


def _key(name: str, *, image: bool, alone: bool) -> str:
    if name.startswith("observation."):
        return name  # they were imported from LeRobot
    if image:
        return f"observation.{name}" if name == "image" else f"observation.images.{name}"
    return "observation.environment_state" if name == "state" and not alone else "observation.state"


def _info(dataset: EpisodeDataset, columns: Mapping[str, _Column], fps: float) -> dict[str, Any]:
    return {
        "codebase_version": "v3.0",
        "robot_type": "unknown",
        "total_episodes": dataset.n_episodes,
        "total_frames": dataset.n_steps,
        "total_tasks": 1,
        "chunks_size": 1000,
        "fps": int(fps) if float(fps).is_integer() else fps,
        "splits": {"train": f"0:{dataset.n_episodes}"},
        "data_path": _DATA,
        "video_path": None,
        "features": {
            key: {
                "dtype": column.dtype,
                "shape": list(column.values.shape[1:]) or [1],
                "names": ["height", "width", "channels"] if column.dtype == "image" else None,
            }
            for key, column in columns.items()
        },
    }


def _statistics(column: _Column) -> dict[str, Any]:
    """Over all rows; of images for each channel (C, 1, 1), with pixels from 0 to 1."""
    if column.dtype == "image":
        flat = column.values.reshape(-1, column.values.shape[-1]) / _BRIGHTEST
        shape: tuple[int, ...] = (flat.shape[1], 1, 1)
    else:
        flat = column.values.reshape(len(column.values), -1).astype(np.float64)
        shape = (flat.shape[1],)
    found = {"min": flat.min(0), "max": flat.max(0), "mean": flat.mean(0), "std": flat.std(0)}
    found |= {name: np.quantile(flat, share, axis=0) for name, share in _QUANTILES.items()}
    told = {name: values.reshape(shape).tolist() for name, values in found.items()}
    return {**told, "count": [len(column.values)]}


def _cells(column: _Column) -> Any:
    import pyarrow as arrow

    if column.dtype == "image":
        kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        cells = [{"bytes": _png(image), "path": None} for image in column.values]
        return arrow.array(cells, kind)
    width = column.values.size // len(column.values)
    flat = arrow.array(column.values.reshape(-1))
    return flat if width == 1 else arrow.FixedSizeListArray.from_arrays(flat, width)


def _png(image: AnyArray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    return stream.getvalue()


def _episodes(dataset: EpisodeDataset, task: str) -> dict[str, Any]:
    zeros = np.zeros(dataset.n_episodes, np.int64)
    places = [
        f"{of}/{name}_index" for of in ("data", "meta/episodes") for name in ("chunk", "file")
    ]
    return {
        "episode_index": np.arange(dataset.n_episodes),
        "tasks": [[task]] * dataset.n_episodes,
        "length": dataset.lengths,
        "dataset_from_index": dataset.step_offsets,
        "dataset_to_index": dataset.step_offsets + dataset.lengths,
        **dict.fromkeys(places, zeros),
    }


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    parquet.write_table(arrow.table(dict(columns)), path)


def _write_tasks(path: Path, task: str) -> None:
    """The one table that LeRobot reads by pandas, whose index, the texts, stands in its schema."""
    import pyarrow as arrow
    from pyarrow import parquet

    index = "__index_level_0__"
    kinds = {"task_index": ("int64", "int64"), index: ("unicode", "object")}
    described = [
        {"name": None if key == index else key, "field_name": key, "pandas_type": kind,
         "numpy_type": stored, "metadata": None}
        for key, (kind, stored) in kinds.items()
    ]  # fmt: skip
    pandas = {"index_columns": [index], "column_indexes": [], "columns": described}
    table = arrow.table({"task_index": np.zeros(1, np.int64), index: [task]})
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)
