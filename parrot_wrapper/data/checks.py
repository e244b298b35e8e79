"""Checks of users' arrays before they become a data set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_wrapper.checks import float_array, index_array, number_array, require_instance
from parrot_wrapper.data.episodes import Episode, observation_rows, require_finite, truths
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.types import AnyArray, FloatArray, Observations

# where a warning should point: the caller of EpisodeDataset.from_arrays
_CALLER_LEVEL = 5


def checked_arrays(
    observations: Observations,
    actions: npt.ArrayLike,
    lengths: npt.ArrayLike,
    rewards: npt.ArrayLike | None,
    success: npt.ArrayLike | None,
    seeds: npt.ArrayLike | None,
    labels: Mapping[str, npt.ArrayLike],
) -> dict[str, Any]:
    """The array arguments of `EpisodeDataset`, from those of `EpisodeDataset.from_arrays`."""
    steps = _checked_lengths(lengths)
    n_steps, n_episodes = int(steps.sum()), len(steps)
    acts = float_array("actions", actions, DataError)
    if acts.ndim != 2 or acts.shape[0] != n_steps or not acts.shape[1]:
        raise DataError(
            f"Expected actions of shape ({n_steps}, A), as the lengths sum to {n_steps} steps, "
            f"got {acts.shape}."
        )
    parts = observation_rows(observations)
    if not parts:
        raise DataError("Expected at least one observation array, got none.")
    require_instance("labels", labels, Mapping, "a mapping of arrays by name", DataError)
    named_labels = {
        name: float_array(f"labels[{name!r}]", part, DataError) for name, part in labels.items()
    }
    _check_rows(parts, "observations", n_steps, n_episodes)
    _check_rows(named_labels, "labels", n_steps, n_episodes)
    result: dict[str, Any] = {
        "observations": parts,
        "labels": named_labels,
        "actions": acts,
        "rewards": _or(rewards, np.zeros(n_steps), "rewards").astype(np.float32),
        "success": truths("success", _or(success, np.ones(n_episodes), "success")),
        "seeds": _integers("seeds", _or(seeds, np.full(n_episodes, -1), "seeds")),
        "lengths": steps,
    }
    for name, expected in (("rewards", n_steps), ("success", n_episodes), ("seeds", n_episodes)):
        if result[name].shape != (expected,):
            raise DataError(f"Expected {name} of shape ({expected},), got {result[name].shape}.")
    for name in ("actions", "rewards"):
        require_finite(name, result[name])
    return result


def _or(given: npt.ArrayLike | None, default: AnyArray, name: str) -> AnyArray:
    return default if given is None else number_array(name, given, DataError)


def _integers(name: str, array: AnyArray) -> npt.NDArray[np.int64]:
    if array.dtype.kind not in "iu":
        raise DataError(f"Expected {name} as integers, got dtype {array.dtype}.")
    return array.astype(np.int64)


def checked_indices(indices: npt.ArrayLike, n_episodes: int) -> npt.NDArray[np.int64]:
    """Indices of episodes, flattened: at least one, and all within 0 ... n_episodes - 1."""
    chosen = index_array("episode indices", indices)
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= n_episodes:
        found = f"{chosen.min()} ... {chosen.max()}" if len(chosen) else "none"
        raise InvalidArgumentError(
            f"Expected episode indices within 0 ... {n_episodes - 1}, got {found}."
        )
    return chosen


def _checked_lengths(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    lengths = number_array("lengths", values, DataError)
    if lengths.ndim != 1 or not lengths.size:
        raise DataError(f"Expected lengths of at least one episode, got shape {lengths.shape}.")
    if not np.issubdtype(lengths.dtype, np.integer) or lengths.min() < 1:
        raise DataError(
            f"Expected lengths to be integers >= 1, got dtype {lengths.dtype} and minimum "
            f"{lengths.min()}. Drop empty episodes."
        )
    return lengths.astype(np.int64)


def _check_rows(parts: Mapping[str, AnyArray], kind: str, n_steps: int, n_episodes: int) -> None:
    expected = n_steps + n_episodes
    for name, part in parts.items():
        if part.ndim < 2 or len(part) != expected:
            raise DataError(
                f"Expected {kind}[{name!r}] with {expected} rows ({n_steps} steps + {n_episodes} "
                f"episodes, since each episode has T+1 observations), got shape {part.shape}. "
                "Where the observation after the last action was not recorded, repeat the last."
            )
        if name == "image" and (part.ndim != 4 or part.dtype != np.uint8):
            raise DataError(
                f"Expected images (rows, H, W, C) uint8 0..255, got shape {part.shape}, dtype "
                f"{part.dtype}."
            )
        require_finite(f"{kind}[{name!r}]", part)


def checked_box(actions: FloatArray, low: npt.ArrayLike, high: npt.ArrayLike) -> dict[str, Any]:
    """The action box as it stands in a data set's metadata, scalars spread over A dimensions."""
    bounds = [float_array("action bounds", edge, DataError) for edge in (low, high)]
    try:
        edges = [np.broadcast_to(edge, actions.shape[1:]) for edge in bounds]
    except ValueError as error:
        raise DataError(
            f"Expected action bounds that fit {actions.shape[1]} action dimensions, got "
            f"{np.shape(low)} and {np.shape(high)}."
        ) from error
    if not (edges[0] < edges[1]).all():
        raise DataError(f"Expected action_low < action_high, got {low!r} and {high!r}.")
    _warn_of_odd_actions(actions, edges[0], edges[1])
    return {"spaces": {"action": {"low": edges[0].tolist(), "high": edges[1].tolist()}}}


def _warn_of_odd_actions(actions: FloatArray, low: FloatArray, high: FloatArray) -> None:
    outside = ((actions < low) | (actions > high)).mean(0)
    if outside.any():
        shares = {int(i): round(float(outside[i]), 4) for i in np.flatnonzero(outside)}
        warnings.warn(
            f"Actions leave the box {low.tolist()} ... {high.tolist()}; share per dimension: "
            f"{shares}. Pass action_low and action_high of the env they were recorded in, or clip.",
            UserWarning,
            stacklevel=_CALLER_LEVEL,
        )
    constant = np.flatnonzero(actions.min(0) == actions.max(0))
    if constant.size and len(actions) > 1:
        warnings.warn(
            f"Action dimensions {constant.tolist()} never change: a prior learns nothing about "
            "them. Drop them, or record data in which they are used.",
            UserWarning,
            stacklevel=_CALLER_LEVEL,
        )


def concatenated(episodes: Sequence[Episode]) -> dict[str, Any]:
    """The array arguments of `EpisodeDataset.from_arrays` for these episodes in order."""
    if not isinstance(episodes, Sequence) or not all(isinstance(e, Episode) for e in episodes):
        raise DataError(f"Expected a list of Episode objects, got {type(episodes).__name__}.")
    if not episodes:
        raise DataError("Expected at least one episode, got none.")
    expected = _layout(episodes[0])
    for index, episode in enumerate(episodes):
        if _layout(episode) != expected:
            raise DataError(
                "Expected the same arrays per step in every episode. Episode 0 has "
                f"{expected}, episode {index} has {_layout(episode)}. Resize or drop the odd ones."
            )
    first = episodes[0]
    return {
        "observations": {
            name: np.concatenate([e.observations[name] for e in episodes])
            for name in first.observations
        },
        "actions": np.concatenate([e.actions for e in episodes]),
        "lengths": [e.n_steps for e in episodes],
        "rewards": np.concatenate([e.rewards for e in episodes]),
        "success": [e.success for e in episodes],
        "seeds": [e.seed for e in episodes],
        "labels": {
            name: np.concatenate([e.labels[name] for e in episodes]) for name in first.labels
        },
    }


def _layout(episode: Episode) -> dict[str, str]:
    parts = {**episode.observations, **episode.labels, "actions": episode.actions}
    return {name: f"{part.shape[1:]} {part.dtype}" for name, part in sorted(parts.items())}
