"""The plain form: NumPy arrays in memory, in `.npz` files without pickles, or in HDF5 files.

An episode is a mapping of names to arrays: actions (T, A), perhaps rewards (T,), success (a bool,
or (T,), of which the last counts) and `seed` (an integer); every other name is a part of the
observation, with T+1 rows, or T where the one after the last action was not recorded and is not
under next_NAME either. Arrays may hold many episodes one after the other: `lengths` (n,) or flags
(N,) then tell where each ends, and success and `seed` may have n entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.exchange.choosing import ImportOptions, listed
from parrot_wrapper.data.exchange.guarded_files import (
    OpenArrays,
    inside,
    is_hidden,
    open_hdf5_arrays,
    open_npz,
)
from parrot_wrapper.data.exchange.source import (
    Choice,
    Part,
    RawEpisode,
    Source,
    last_success,
    parts_of,
)
from parrot_wrapper.data.exchange.writing import load_source
from parrot_wrapper.errors import DataError, DataFileError, absence
from parrot_wrapper.types import AnyArray, FloatArray

_OURS = ("seed", "lengths", "action_low", "action_high")
_HDF5 = (".hdf5", ".h5")


def dataset_from_arrays(
    episodes: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    options: ImportOptions | None = None,
) -> EpisodeDataset:
    """Make a data set of episodes that are mappings of names to arrays.

    Args:
        episodes: Each with `actions` (T, A), perhaps `rewards` (T,), `success` and `seed`, and the
            parts of its observations under other names, T or T+1 rows each: images (H, W, C) or
            (C, H, W) uint8, vectors. Or mappings, or one mapping, of arrays that hold many
            episodes, with `lengths` (n,) or flags of ends such as `terminals` and `timeouts` (N,).
            What is in mappings within is called outer/inner.
        options: What to take of them; see `ImportOptions`.

    Raises:
        DataError: Episodes are empty, not finite, or do not agree; or nothing tells what to take
            or where episodes end.

    Warns:
        UserWarning: Actions outside the box, or action dimensions that never change.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> episode = {"camera": np.zeros((20, 3, 48, 64), np.uint8), "joints": np.zeros((20, 7)),
        ...            "actions": rng.uniform(-1, 1, (20, 4)), "success": True}
        >>> dataset_from_arrays([episode, episode], ImportOptions(vector_keys=("joints",)))
        EpisodeDataset(episodes=2, steps=40, observations={image: (48, 64, 3), proprio: (7,)}, action_dim=4)
    """  # noqa: E501  # a representation is one line
    given = [episodes] if isinstance(episodes, Mapping) else episodes
    if not given:
        raise DataError("Expected at least one episode, got none.")
    opened = {f"episode {i}": _in_memory(arrays) for i, arrays in enumerate(given)}
    chosen = options or ImportOptions()
    alone = isinstance(episodes, Mapping)
    return load_source(_source("arrays", opened, chosen, alone=alone), chosen)


def open_arrays(path: str | Path, options: ImportOptions) -> Source:
    """An `.npz` or HDF5 file, or a folder of them in the order of their names, ready to be read.

    `action_low` and `action_high` (A,) of the first file tell the action box. Arrays in groups of
    HDF5 are called outer/inner.
    """
    files = _files(as_path("path", path))
    opened = {
        str(file): partial(open_hdf5_arrays if file.suffix in _HDF5 else open_npz, file)
        for file in files
    }
    return _source(str(path), opened, options, alone=len(files) == 1)


_Opening = Callable[[], AbstractContextManager[OpenArrays]]


def _in_memory(arrays: object) -> _Opening:
    if not isinstance(arrays, Mapping):
        raise DataError(
            f"Expected each episode as a mapping of names to arrays, got {arrays!r:.60}."
        )
    held = dict(_named(arrays))
    headers = {name: Part(array.shape, array.dtype) for name, array in held.items()}
    return lambda: nullcontext(OpenArrays(headers, held.__getitem__))


def _named(arrays: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, AnyArray]]:
    """The arrays of a mapping, and those of mappings within, called outer/inner."""
    for name, values in arrays.items():
        if isinstance(values, Mapping):
            yield from _named(values, f"{prefix}{name}/")
            continue
        try:
            yield f"{prefix}{name}", np.asarray(values)
        except (TypeError, ValueError, RuntimeError):
            # ragged lists and the like are refused where they are wanted
            yield f"{prefix}{name}", np.empty((0, 0), object)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    for suffix in (".npz", *_HDF5):
        names = sorted(path.name for path in root.glob(f"*{suffix}") if not is_hidden(path.name))
        if names:
            return [inside(root, name) for name in names]
    raise DataFileError(
        f"{root}: expected an .npz or HDF5 file or a folder of them, found none.{absence(root)}"
    )


def _source(
    name: str,
    opened: Mapping[str, _Opening],
    options: ImportOptions,
    *,
    alone: bool,
) -> Source:
    counts = []
    for index, (place, opening) in enumerate(opened.items()):
        with opening() as arrays:
            told = arrays.headers.get("lengths")
            counts.append(math.prod(told.shape) if told else 1)
            if not index:
                fields = {k: Part(p.shape[1:], p.dtype) for k, p in arrays.headers.items()}
                rows = parts_of(arrays.headers)
                box = _box(place, arrays)
    following = {next_name(key) for key in fields}

    def read(choice: Choice) -> Iterator[RawEpisode]:
        wanted = (*choice.fields, *choice.keys, *map(next_name, choice.keys), "seed", "lengths")
        for place, opening in opened.items():
            with opening() as arrays:
                taken = {key: arrays.read(key) for key in wanted if key in arrays.headers}
                found = parts_of(arrays.headers)
            if choice.action not in taken:
                raise DataError(
                    f"{place}: expected {choice.action!r} as in the first, found {listed(found)}."
                )
            yield from _episodes(Bundle(place, taken, found, alone), choice, options)

    return Source(
        name,
        {key: part for key, part in rows.items() if key not in {*_OURS, *following}},
        {key: part for key, part in fields.items() if key not in _OURS},
        # flags may tell of more
        sum(counts) if "lengths" in fields or not alone else None,
        read,
        box,
        flat=True,
    )


def _box(name: str, arrays: OpenArrays) -> tuple[FloatArray, FloatArray] | None:
    told = [edge for edge in ("action_low", "action_high") if edge in arrays.headers]
    if not told:
        return None
    if len(told) < 2:
        raise DataError(f"{name}: expected both action_low and action_high, got only {told[0]}.")
    low, high = (np.asarray(arrays.read(edge), np.float32) for edge in told)
    return low, high


def _episodes(bundle: Bundle, choice: Choice, options: ImportOptions) -> Iterator[RawEpisode]:
    ends = episode_ends(bundle, choice, options)
    if len(ends) == 1 and "lengths" not in bundle.arrays:
        yield replace(_one(bundle.name, bundle.arrays, choice), end=ends[0][1])
        return
    episodes = separated(bundle, choice, [length for length, _ in ends])
    for (name, arrays), (_, told) in zip(episodes, ends, strict=True):
        yield replace(_one(name, arrays, choice), end=told)


def _one(name: str, arrays: Mapping[str, AnyArray], choice: Choice) -> RawEpisode:
    actions = arrays[choice.action]
    steps = math.prod(actions.shape[:1])
    success = arrays.get(choice.success or "")
    if success is not None and np.size(success) != 1 and len(success) != steps:
        raise DataError(f"{name}: expected one success, got shape {np.shape(success)}.")
    seed = arrays.get("seed", np.array(-1))
    if np.size(seed) != 1 or np.asarray(seed).dtype.kind not in "fiu":
        raise DataError(
            f"{name}: expected one seed, an integer, got shape {np.shape(seed)}, dtype "
            f"{np.asarray(seed).dtype}."
        )
    return RawEpisode(
        name,
        {key: _rows(arrays, key, steps) for key in choice.keys if key in arrays},
        actions,
        arrays.get(choice.reward or ""),
        last_success(success),
        int(np.ravel(seed)[0]),
    )


def _rows(arrays: Mapping[str, AnyArray], key: str, steps: int) -> AnyArray:
    """The observations, with the one after the last action where it was recorded beside them."""
    rows, following = arrays[key], arrays.get(next_name(key))
    if following is None or rows.shape[:1] != (steps,) or following.shape != rows.shape:
        return rows
    return np.concatenate([rows, following[-1:]])


_ARRAYS = "the end of the arrays"


class Bundle(NamedTuple):
    """Arrays that belong together, of one episode or of many one after the other.

    Attributes:
        name: Where they are from, for messages.
        arrays: Those that are taken, and `lengths`, `seed` and next observations where there are.
        found: All that there are, for messages.
        alone: They are the whole data set, so that one episode of everything is unlikely.
    """

    name: str
    arrays: Mapping[str, AnyArray]
    found: Mapping[str, Part]
    alone: bool


def next_name(key: str) -> str:
    """What the observations after each step are called."""
    return f"next_{key}"


def episode_ends(bundle: Bundle, choice: Choice, options: ImportOptions) -> list[tuple[int, str]]:
    """The steps of each episode, and what told where it ends.

    `lengths` say it, or else flags of ends. Without either, arrays that can only be one episode,
    and those that have others beside them, are one.
    """
    steps = math.prod(bundle.arrays[choice.action].shape[:1])
    if options.one_episode:
        return [(steps, _ARRAYS)]
    if "lengths" in bundle.arrays and not options.end_keys:
        return [(length, "lengths") for length in _told_lengths(bundle)]
    if not options.end_keys and _is_one_episode(bundle, choice, steps):
        return [(steps, _ARRAYS)]
    flags = _flags(bundle, choice, steps)
    ends = [int(step) + 1 for step in np.flatnonzero(flags)]
    if not options.end_keys:
        _require_plausible(bundle, choice, flags)
    names = ", ".join(choice.ends)
    if not ends and bundle.alone:
        never = f"{names} never true: " if names else ""
        raise _unknown(bundle, f"{never}nothing tells where the episodes of {steps} steps end")
    told = [names] * len(ends)
    if not ends or ends[-1] < steps:
        ends, told = [*ends, steps], [*told, _ARRAYS]
    return [(int(n), by) for n, by in zip(np.diff([0, *ends]), told, strict=True)]


def separated(
    bundle: Bundle, choice: Choice, lengths: list[int]
) -> Iterator[tuple[str, dict[str, AnyArray]]]:
    """The episodes of a bundle that holds many, each as a name and its arrays."""
    steps, count = sum(lengths), len(lengths)
    one_each = {"seed", choice.success}
    step, row = 0, 0
    for index, length in enumerate(lengths):
        episode: dict[str, AnyArray] = {}
        for key, stored in bundle.arrays.items():
            array = np.atleast_1d(stored)
            rows = len(array)
            if key == "lengths":
                continue
            if key in one_each and rows == count:
                episode[key] = array[index]
            elif rows == steps and key != "seed":
                episode[key] = array[step : step + length]
            elif rows == steps + count and key in choice.keys:
                episode[key] = array[row : row + length + 1]
            else:
                raise DataError(
                    f"{bundle.name}: expected {key!r} to have a row for each of {steps} steps "
                    f"(parts of observations may have {steps + count}; success and seed have "
                    f"{count}), got shape {array.shape}."
                )
        yield f"{bundle.name}: episode {index}", episode
        step, row = step + length, row + length + 1


def _told_lengths(bundle: Bundle) -> list[int]:
    lengths = np.asarray(bundle.arrays["lengths"])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise DataError(
            f"{bundle.name}: expected lengths (n,) of integers of at least 1, got {lengths}."
        )
    return [int(length) for length in lengths]


def _is_one_episode(bundle: Bundle, choice: Choice, steps: int) -> bool:
    """Whether there is one more observation than steps, or a single success or seed."""
    single = (bundle.arrays.get(name) for name in ("seed", choice.success or ""))
    return any(told is not None and told.size == 1 for told in single) or any(
        key in bundle.arrays and bundle.arrays[key].shape[:1] == (steps + 1,) for key in choice.keys
    )


def _flags(bundle: Bundle, choice: Choice, steps: int) -> AnyArray:
    flags = np.zeros(steps, bool)
    for name in choice.ends:
        if name not in bundle.arrays:
            raise DataError(f"{bundle.name}: expected {name!r} as in the first, found none.")
        told = bundle.arrays[name]
        if told.shape[:1] != (steps,) or told.size != steps or not np.isin(told, (0, 1)).all():
            raise DataError(
                f"{bundle.name}: expected {name!r} to have 0 or 1 for each of {steps} steps, got "
                f"shape {told.shape}, dtype {told.dtype}. Name the flags of ends with end_keys "
                "(--end-keys)."
            )
        flags |= told.reshape(-1).astype(bool)
    return flags


def _require_plausible(bundle: Bundle, choice: Choice, flags: AnyArray) -> None:
    """Refuse flags that only happen to be called so, or that leave ends out."""
    names = ", ".join(choice.ends)
    repeated = np.flatnonzero(flags[:-1] & flags[1:])
    if len(repeated):
        raise _unknown(
            bundle,
            f"{names} is true at step {repeated[0]} and at the next, as success may be and ends "
            "of episodes hardly are",
        )
    for key in choice.keys:
        here, after = bundle.arrays.get(key), bundle.arrays.get(next_name(key))
        if here is None or after is None or here.shape != after.shape or len(here) != len(flags):
            continue
        differ = here[1:] != after[:-1]
        jumps = differ.reshape(len(differ), -1).any(1) & ~flags[:-1]
        # where most do not match, they are no such pairs, and tell nothing
        if 0 < jumps.sum() < len(jumps) / 2:
            raise _unknown(
                bundle,
                f"{next_name(key)!r} of step {int(jumps.argmax())} is not {key!r} of the next, so "
                f"an episode ends there, unmarked by {names or 'flags'} ({int(jumps.sum())} such "
                "steps)",
            )


def _unknown(bundle: Bundle, why: str) -> DataError:
    return DataError(
        f"{bundle.name}: {why}. Name the arrays that are true at the last step of each episode "
        "with end_keys (--end-keys), add lengths (n,), or say that all is one episode with "
        f"one_episode (--one-episode). Found: {listed(bundle.found)}."
    )
