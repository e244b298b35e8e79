"""The plain form: episodes as NumPy arrays, in memory or in `.npz` files without pickles.

An episode is a mapping of names to arrays. `actions` (T, A) has to be there; `rewards` (T,),
`success` (a bool) and `seed` (an integer) may; every other name is a part of the observation, with
T+1 rows, or T where the one after the last action was not recorded. A file may hold many episodes
one after the other: it then has `lengths` (n,), and `success` and `seed` have n entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.exchange.guarded_files import inside
from parrot_wrapper.data.exchange.npz import GuardedNpz, open_npz
from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.source import Part, RawEpisode, Source
from parrot_wrapper.data.exchange.writing import load_source
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.names import absence
from parrot_wrapper.types import AnyArray, FloatArray

_RESERVED = ("actions", "rewards", "success", "seed", "lengths", "action_low", "action_high")


def dataset_from_arrays(
    episodes: Sequence[Mapping[str, npt.ArrayLike]], options: ImportOptions | None = None
) -> EpisodeDataset:
    """Make a data set of episodes that are mappings of names to arrays.

    Args:
        episodes: Each with `actions` (T, A), perhaps `rewards` (T,), `success` and `seed`, and the
            parts of its observations under other names, T or T+1 rows each: images (H, W, C) or
            (C, H, W) uint8, vectors.
        options: What to take of them; see `ImportOptions`.

    Raises:
        DataError: Episodes are empty, not finite, or do not agree.

    Warns:
        UserWarning: Actions outside the box, or action dimensions that never change.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> episode = {"camera": np.zeros((20, 3, 48, 64), np.uint8), "joints": np.zeros((20, 7)),
        ...            "actions": rng.uniform(-1, 1, (20, 4)), "success": True}
        >>> dataset_from_arrays([episode, episode], ImportOptions(vector_keys=("joints",)))
        EpisodeDataset(episodes=2, steps=40, observations={image: (48, 64, 3), proprio: (7,)}, action_dim=4)
    """  # noqa: E501  # a representation is one line
    if not episodes:
        raise DataError("Expected at least one episode, got none.")
    plain = [{str(k): np.asarray(v) for k, v in episode.items()} for episode in episodes]
    for index, arrays in enumerate(plain):
        if "lengths" in arrays:
            raise DataError(
                f"episode {index}: expected one episode in each mapping, got lengths. For arrays "
                "that hold many, call EpisodeDataset.from_arrays."
            )

    def read(keys: Sequence[str]) -> Iterator[RawEpisode]:
        for index, arrays in enumerate(plain):
            yield _one(f"episode {index}", arrays, keys)

    source = Source("arrays", _parts(plain[0]), len(plain), read, _box("episode 0", plain[0]))
    return load_source(source, options or ImportOptions())


def open_arrays(path: str | Path) -> Source:
    """An `.npz` file, or a folder of them in the order of their names, ready to be read.

    `action_low` and `action_high` (A,) of the first file tell the action box.

    Raises:
        DataFileError: There is none, it is broken, has pickles, or claims absurdly much.
        DataError: It has no episodes.
    """
    root = as_path("path", path)
    if root.is_dir():
        files = [inside(root, file.name) for file in sorted(root.glob("*.npz"))]
    else:
        files = [root] if root.is_file() else []
    if not files:
        raise DataFileError(
            f"{root}: expected an .npz file or a folder of them, found none.{absence(root)}"
        )
    counts = [_count(file) for file in files]
    with open_npz(files[0]) as first:
        parts = _parts({name: Part(*header) for name, header in first.headers.items()})
        box = _box(str(files[0]), first)

    def read(keys: Sequence[str]) -> Iterator[RawEpisode]:
        for file in files:
            with open_npz(file) as stored:
                wanted = [*_RESERVED, *keys]
                arrays = {name: stored[name] for name in wanted if name in stored}
            for name, episode in _separated(str(file), arrays):
                yield _one(name, episode, keys)

    return Source(str(path), parts, sum(counts), read, box)


def _count(file: Path) -> int:
    with open_npz(file) as stored:
        return math.prod(stored.headers["lengths"].shape) if "lengths" in stored else 1


def _parts(arrays: Mapping[str, Part | AnyArray]) -> dict[str, Part]:
    return {
        name: Part(array.shape[1:], array.dtype)
        for name, array in arrays.items()
        if name not in _RESERVED and array.shape
    }


def _box(
    name: str, arrays: Mapping[str, AnyArray] | GuardedNpz
) -> tuple[FloatArray, FloatArray] | None:
    told = [edge for edge in ("action_low", "action_high") if edge in arrays]
    if not told:
        return None
    if len(told) < 2:
        raise DataError(f"{name}: expected both action_low and action_high, got only {told[0]}.")
    low, high = (np.asarray(arrays[edge], np.float32) for edge in told)
    return low, high


def _separated(name: str, arrays: dict[str, AnyArray]) -> Iterator[tuple[str, dict[str, AnyArray]]]:
    """The episodes of one file, each as a mapping."""
    if "lengths" not in arrays:
        yield name, arrays
        return
    lengths = np.asarray(arrays.pop("lengths"))
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise DataError(f"{name}: expected lengths (n,) of integers of at least 1, got {lengths}.")
    steps, count = sum(map(int, lengths)), len(lengths)
    step, row = 0, 0
    for index, length in enumerate(map(int, lengths)):
        episode: dict[str, AnyArray] = {}
        for key, array in arrays.items():
            if key in ("action_low", "action_high"):
                continue
            rows = len(array) if array.ndim else 0
            if key in ("success", "seed") and rows == count:
                episode[key] = array[index]
            elif rows == steps and key not in ("success", "seed"):
                episode[key] = array[step : step + length]
            elif rows == steps + count and key not in _RESERVED:
                episode[key] = array[row : row + length + 1]
            else:
                raise DataError(
                    f"{name}: expected {key!r} to have a row for each of {steps} steps (parts of "
                    f"observations may have {steps + count}; success and seed have {count}), got "
                    f"shape {array.shape}."
                )
        yield f"{name}: episode {index}", episode
        step, row = step + length, row + length + 1


def _one(name: str, arrays: Mapping[str, AnyArray], keys: Sequence[str]) -> RawEpisode:
    if "actions" not in arrays:
        raise DataError(f"{name}: expected 'actions', got {', '.join(arrays) or 'nothing'}.")
    for key in ("success", "seed"):
        if key in arrays and np.size(arrays[key]) != 1:
            raise DataError(f"{name}: expected one {key}, got shape {np.shape(arrays[key])}.")
    return RawEpisode(
        name,
        {key: arrays[key] for key in keys if key in arrays},
        arrays["actions"],
        arrays.get("rewards"),
        bool(np.ravel(arrays["success"])[0]) if "success" in arrays else None,
        int(np.ravel(arrays["seed"])[0]) if "seed" in arrays else -1,
    )
