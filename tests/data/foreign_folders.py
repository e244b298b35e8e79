"""Small data sets in other people's layouts, written as their own tools write them."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

FPS = 10


def smooth_images(count: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Images that a video codec keeps nearly as they are; each frame has its own brightness."""
    rows = np.linspace(0, 60, height)[:, None, None]
    columns = np.linspace(0, 60, width)[None, :, None]
    channels = np.array([0.0, 20.0, 40.0])
    base = rows + columns + channels
    steps = (np.arange(count) * 7 + seed * 3) % 90
    return (base[None] + steps[:, None, None, None]).astype(np.uint8)


def write_robomimic(
    path: Path, lengths: Sequence[int] = (3, 1, 5), successes: Sequence[bool] | None = None
) -> list[dict[str, np.ndarray]]:
    """A file as robomimic's documentation describes it; returns what is in each demonstration."""
    rng = np.random.default_rng(0)
    demos = []
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(lengths)
        data.attrs["env_args"] = json.dumps(
            {"env_name": "Lift", "env_type": 1, "env_kwargs": {"robots": ["Panda"]}}
        )
        for index, steps in enumerate(lengths):
            demo = {
                "actions": rng.uniform(-1, 1, (steps, 7)),
                "rewards": np.zeros(steps),
                "dones": np.zeros(steps, np.int64),
                "states": rng.normal(size=(steps, 11)),
                "image": rng.integers(0, 256, (steps + 1, 32, 40, 3), np.uint8),
                "wrist": rng.integers(0, 256, (steps + 1, 32, 32, 3), np.uint8),
                "eef": rng.normal(size=(steps + 1, 3)),
                "gripper": rng.normal(size=(steps + 1, 2)),
            }
            demo["rewards"][-1] = demo["dones"][-1] = successes is None or successes[index]
            group = data.create_group(f"demo_{index}")
            group.attrs["num_samples"] = steps
            for name in ("actions", "rewards", "dones", "states"):
                group.create_dataset(name, data=demo[name])
            for name, stored in (
                ("image", "agentview_image"),
                ("wrist", "robot0_eye_in_hand_image"),
                ("eef", "robot0_eef_pos"),
                ("gripper", "robot0_gripper_qpos"),
            ):
                group.create_dataset(f"obs/{stored}", data=demo[name][:-1], compression="gzip")
                group.create_dataset(f"next_obs/{stored}", data=demo[name][1:], compression="gzip")
            demos.append(demo)
    return demos


def write_lerobot(
    root: Path,
    version: str,
    *,
    images: str,
    lengths: Sequence[int] = (4, 2, 6),
    successes: Sequence[bool] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[dict[str, np.ndarray]]:
    """A folder of version "v2.1" or "v3.0"; `images` is "video" (MP4) or "image" (in the table).

    Every image feature is called `observation.images.top`. Returns the content of each episode.
    """
    rng = np.random.default_rng(1)
    episodes = [
        {
            "image": smooth_images(steps, seed=index),
            "state": rng.normal(size=(steps, 3)).astype(np.float32),
            "action": rng.uniform(-2, 2, (steps, 4)).astype(np.float32),
            "success": successes is None or successes[index],
        }
        for index, steps in enumerate(lengths)
    ]
    key = "observation.images.top"
    newer = version.startswith("v3")
    feature = {"dtype": images, "shape": [48, 64, 3], "names": ["height", "width", "channels"]}
    info = {
        "codebase_version": version,
        "robot_type": "so100",
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "total_tasks": 1,
        "chunks_size": 1000,
        "fps": FPS,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
        if newer
        else "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": (
            "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
            if newer
            else "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
        )
        if images == "video"
        else None,
        "features": {
            key: feature,
            "observation.state": {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"]},
            "action": {"dtype": "float32", "shape": [4], "names": list("abcd")},
            "next.success": {"dtype": "bool", "shape": [1], "names": None},
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            "frame_index": {"dtype": "int64", "shape": [1], "names": None},
            "episode_index": {"dtype": "int64", "shape": [1], "names": None},
            "index": {"dtype": "int64", "shape": [1], "names": None},
            "task_index": {"dtype": "int64", "shape": [1], "names": None},
        },
    }
    info.update(changes or {})
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info, indent=4))
    tables = [_table(index, episode, images, key) for index, episode in enumerate(episodes)]
    if newer:
        _write_v3(root, tables, episodes, images, key)
    else:
        _write_v2(root, tables, episodes, images, key)
    return episodes


def _table(index: int, episode: dict[str, Any], images: str, key: str) -> Any:
    import pyarrow as pa

    steps = len(episode["action"])
    last = np.arange(steps) == steps - 1
    columns = {
        "observation.state": pa.array(list(episode["state"]), pa.list_(pa.float32(), 3)),
        "action": pa.array(list(episode["action"]), pa.list_(pa.float32())),
        "next.success": pa.array(last & episode["success"]),
        "timestamp": pa.array((np.arange(steps) / FPS).astype(np.float32)),
        "frame_index": pa.array(np.arange(steps)),
        "episode_index": pa.array(np.full(steps, index)),
        "index": pa.array(np.arange(steps) + 100 * index),
        "task_index": pa.array(np.zeros(steps, np.int64)),
    }
    if images == "image":
        cells = [{"bytes": png(image), "path": None} for image in episode["image"]]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns[key] = pa.array(cells, kind)
    return pa.table(columns)


def png(image: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def _write_v2(root: Path, tables: list, episodes: list, images: str, key: str) -> None:
    import pyarrow.parquet as pq

    (root / "data/chunk-000").mkdir(parents=True)
    (root / "videos/chunk-000" / key).mkdir(parents=True)
    lines = []
    for index, (table, episode) in enumerate(zip(tables, episodes, strict=True)):
        pq.write_table(table, root / f"data/chunk-000/episode_{index:06d}.parquet")
        if images == "video":
            path = root / "videos/chunk-000" / key / f"episode_{index:06d}.mp4"
            write_video(path, episode["image"])
        lines.append(
            json.dumps({"episode_index": index, "tasks": ["lift"], "length": table.num_rows})
        )
    (root / "meta/episodes.jsonl").write_text("\n".join(lines) + "\n")
    (root / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": "lift"}) + "\n")


def _write_v3(root: Path, tables: list, episodes: list, images: str, key: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (root / "data/chunk-000").mkdir(parents=True)
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    (root / "videos" / key / "chunk-000").mkdir(parents=True)
    # the first two episodes share a file, the last has its own
    files = [0] * (len(tables) - 1) + [1]
    rows = []
    start = 0
    seconds = {0: 0.0, 1: 0.0}
    for index, table in enumerate(tables):
        row = {
            "episode_index": index,
            "data/chunk_index": 0,
            "data/file_index": files[index],
            "dataset_from_index": start,
            "dataset_to_index": start + table.num_rows,
            "tasks": ["lift"],
            "length": table.num_rows,
        }
        if images == "video":
            begins = seconds[files[index]]
            seconds[files[index]] = begins + table.num_rows / FPS
            row |= {
                f"videos/{key}/chunk_index": 0,
                f"videos/{key}/file_index": files[index],
                f"videos/{key}/from_timestamp": begins,
                f"videos/{key}/to_timestamp": seconds[files[index]],
            }
        rows.append(row)
        start += table.num_rows
    pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    for file in (0, 1):
        own = [index for index in range(len(tables)) if files[index] == file]
        pq.write_table(
            pa.concat_tables([tables[index] for index in own]),
            root / f"data/chunk-000/file-{file:03d}.parquet",
        )
        if images == "video":
            frames = np.concatenate([episodes[index]["image"] for index in own])
            write_video(root / "videos" / key / f"chunk-000/file-{file:03d}.mp4", frames)


def write_video(path: Path, frames: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "8", "g": "2"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
