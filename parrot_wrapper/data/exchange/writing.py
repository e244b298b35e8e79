"""A foreign data set written as one of ours, whole or not at all; or kept in memory."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path, float_array, number_array
from parrot_wrapper.data.checks import checked_box
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.exchange.choosing import ImportOptions, choose
from parrot_wrapper.data.exchange.images import resized
from parrot_wrapper.data.exchange.source import Choice, RawEpisode, Source, parts_of
from parrot_wrapper.data.shards import write_shard
from parrot_wrapper.data.storage import Manifest, write_manifest
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.image_layout import channels_last
from parrot_wrapper.io.atomic_files import atomic_folder
from parrot_wrapper.types import REWARDS_FACT, AnyArray, FloatArray

_SHARD_EPISODES = 64
_SHARD_BYTES = 128 * 1024**2
_COUNTED = (
    *("read", "kept", "dropped_as_failures", "success_unknown"),
    "last_observation_repeated",
)


@dataclass(frozen=True)
class ImportReport:
    """What was imported.

    Attributes:
        folder: Where the data set is.
        counts: Episodes: read, kept, dropped_as_failures, success_unknown, and
            last_observation_repeated (the one after the last action was not recorded).
        n_steps: Steps of those kept.
        choice: Which arrays were taken for what, and which were left out.
        ends: How many episodes end by which flags, by "lengths", or only because their arrays end;
            empty where the format keeps them apart.
        action_box: Where the action box is from: "given", "told by the data set" or "spanned by
            the actions".
    """

    folder: Path
    counts: dict[str, int]
    n_steps: int
    choice: Choice
    ends: dict[str, int]
    action_box: str


def write_source(source: Source, folder: str | Path, options: ImportOptions) -> ImportReport:
    """Write a foreign data set to `folder`, which appears when everything is written."""
    root = as_path("folder", folder)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataFileError(f"{root}: expected a new or empty folder, found something there.")
    choice = choose(source, options)
    tally = Tally()
    with atomic_folder(root) as partial:
        episodes = converted(source, choice, options, tally)
        for index, shard in enumerate(_shards(episodes)):
            write_shard(partial, index, shard, attempts=len(shard))
        metadata, origin = _metadata(source, choice, options, tally)
        settings = metadata.pop("settings")
        write_manifest(partial, Manifest(len(tally.actions), settings, metadata))
    steps = sum(map(len, tally.actions))
    return ImportReport(root, tally.counts, steps, choice, dict(tally.ends), origin)


def load_source(source: Source, options: ImportOptions) -> EpisodeDataset:
    """Read a foreign data set into memory; raises as `write_source`."""
    choice = choose(source, options)
    tally = Tally()
    episodes = list(converted(source, choice, options, tally))
    metadata, _ = _metadata(source, choice, options, tally)
    box = metadata["spaces"]["action"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given already, when the box was checked
        return EpisodeDataset.from_episodes(
            episodes, action_low=box["low"], action_high=box["high"], metadata=metadata
        )


def _shards(episodes: Iterable[Episode]) -> Iterator[list[Episode]]:
    shard: list[Episode] = []
    size = 0
    for episode in episodes:
        shard.append(episode)
        size += sum(part.nbytes for part in episode.observations.values())
        if len(shard) == _SHARD_EPISODES or size >= _SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _metadata(
    source: Source, choice: Choice, options: ImportOptions, tally: Tally
) -> tuple[dict[str, Any], str]:
    if not tally.actions:
        failed = tally.counts["dropped_as_failures"]
        told = f" All {failed} were dropped as failures; keep='all' (--keep all) takes them too."
        dropped = told if failed else ""
        raise DataError(f"{source.name}: expected at least one episode, got none.{dropped}")
    actions = np.concatenate(tally.actions)
    low, high, origin = _action_box(source, options, actions)
    # facts that the source tells replace ours: an export that returns keeps its own
    facts = {
        "import": {
            "source": source.name,
            "taken": choice.taken(),
            "left_out": list(choice.left_out),
            "flattened": dict(choice.flattened),
            "episode_ends": dict(tally.ends),
            "image_size": options.image_size,
            "action_box": origin,
            **tally.counts,
        },
        **({REWARDS_FACT: False} if tally.unrewarded else {}),
        **source.facts,
        **checked_box(actions, low, high),
        "settings": dict(source.settings),
    }
    try:
        # as it will be read again: tuples become lists
        plain: dict[str, Any] = json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DataFileError(
            f"{source.name}: expected metadata that JSON can hold, got: {error}."
        ) from error
    return plain, origin


def _action_box(
    source: Source, options: ImportOptions, actions: FloatArray
) -> tuple[FloatArray, FloatArray, str]:
    if options.action_low:
        low, high = (
            np.asarray(edge if len(edge) > 1 else edge[0], np.float32)
            for edge in (options.action_low, options.action_high)
        )
        return low, high, "given"
    if source.action_box is not None:
        return (*source.action_box, "told by the data set")
    low, high = actions.min(0), actions.max(0)
    if source.unit_box and max(-low.min(), high.max()) <= 1:
        return np.full_like(low, -1), np.ones_like(high), "told by the data set"
    # a box needs a width, also where an action never changes
    still = low == high
    reach = np.maximum(np.abs(low), 1.0).astype(np.float32)
    low, high = np.where(still, low - reach, low), np.where(still, high + reach, high)
    return low, high, "spanned by the actions"


@dataclass
class Tally:
    """What became of the episodes, and all of their actions.

    Attributes:
        counts: As in `ImportReport`.
        ends: How many of those kept end by what; empty where the format keeps them apart.
        unrewarded: Whether some have no rewards, which are stored as zeros.
        actions: (T, A) of each kept episode.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))
    ends: Counter[str] = field(default_factory=Counter)
    unrewarded: bool = False
    actions: list[FloatArray] = field(default_factory=list)


def converted(
    source: Source, choice: Choice, options: ImportOptions, tally: Tally
) -> Iterator[Episode]:
    """The episodes to keep, one after the other."""
    layout: dict[str, tuple[int, ...]] = {}
    counts = tally.counts
    for raw in source.read(choice):
        if options.episodes and counts["read"] == options.episodes:
            return
        counts["read"] += 1
        success = _success(raw, options)
        if success is False and options.keep == "successes":
            counts["dropped_as_failures"] += 1
            continue
        episode = _episode(raw, choice, options, success)
        found = {name: part.shape[1:] for name, part in episode.observations.items()}
        found["actions"] = episode.actions.shape[1:]
        layout = layout or found
        if found != layout:
            raise DataError(
                f"{raw.name}: expected {layout} per step as in the first episode, got {found}. "
                "Bring images to one size with image_size (--image-size), or drop the odd ones."
            )
        counts["kept"] += 1
        counts["success_unknown"] += success is None
        counts["last_observation_repeated"] += any(
            len(raw.observations[k]) == len(raw.actions) for k in choice.keys
        )
        tally.unrewarded |= raw.rewards is None
        tally.ends.update([raw.end] if raw.end else [])
        tally.actions.append(episode.actions)
        yield episode


def _success(raw: RawEpisode, options: ImportOptions) -> bool | None:
    if options.success_reward is None:
        return raw.success
    if raw.rewards is None or not len(raw.rewards):
        raise DataError(f"{raw.name}: expected rewards to judge success by, got none.")
    return bool(raw.rewards[-1] >= options.success_reward)


def _episode(
    raw: RawEpisode, choice: Choice, options: ImportOptions, success: bool | None
) -> Episode:
    actions = np.asarray(raw.actions)
    if actions.ndim not in (2, 3) or not actions.size or actions.dtype.kind not in "fiub":
        raise DataError(
            f"{raw.name}: expected actions of shape (T, A), numbers, T and A at least 1, got shape "
            f"{actions.shape}, dtype {actions.dtype}."
        )
    steps = len(actions)
    observations: dict[str, AnyArray] = {}
    for ours, theirs in choice.named_images.items():
        images = _rows(raw, theirs, steps)
        if not parts_of({ours: images})[ours].is_image:
            raise DataError(
                f"{raw.name}: expected uint8 images in {theirs!r}, got shape {images.shape}, "
                f"dtype {images.dtype}."
            )
        images = channels_last(images)
        observations[ours] = (
            images if options.image_size is None else resized(images, options.image_size)
        )
    if choice.vectors:
        columns = [
            number_array(f"{raw.name}: {name}", _rows(raw, name, steps), DataError)
            for name in choice.vectors
        ]
        observations[choice.vector_name] = np.concatenate(
            [column.reshape(steps + 1, -1).astype(np.float64) for column in columns], axis=1
        )
    rewards = np.zeros(steps) if raw.rewards is None else np.reshape(raw.rewards, -1)
    try:
        return Episode(
            observations,
            actions.reshape(steps, -1),
            float_array("rewards", rewards, DataError),
            success is not False,
            raw.seed,
            raw.labels,
        )
    except DataError as error:
        raise DataError(f"{raw.name}: {error}") from error


def _rows(raw: RawEpisode, name: str, steps: int) -> AnyArray:
    """T+1 rows; the last is repeated where the one after the last action was not recorded."""
    if name not in raw.observations:
        raise DataError(
            f"{raw.name}: expected an observation {name!r} as in the first episode, got "
            f"{', '.join(raw.observations) or 'none'}."
        )
    array = np.asarray(raw.observations[name])
    if array.ndim and len(array) == steps:
        return np.concatenate([array, array[-1:]])
    if not array.ndim or len(array) != steps + 1:
        raise DataError(
            f"{raw.name}: expected {steps} or {steps + 1} rows in {name!r} for {steps} actions, "
            f"got shape {array.shape}."
        )
    return array
