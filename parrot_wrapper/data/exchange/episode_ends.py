"""Where each episode ends in arrays that hold many of them, one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from parrot_wrapper.data.exchange.choosing import listed
from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.source import Choice, Part
from parrot_wrapper.errors import DataError
from parrot_wrapper.types import AnyArray

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

    Raises:
        DataError: Lengths or flags cannot be right, or nothing tells where episodes end.
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
    """The episodes of a bundle that holds many, each as a name and its arrays.

    Raises:
        DataError: An array has neither a row for each step, nor one more for each episode.
    """
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
