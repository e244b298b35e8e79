"""A foreign data set written as one of ours, whole or not at all; or kept in memory."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.data.checks import checked_box
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.exchange.choosing import choose
from parrot_wrapper.data.exchange.converting import Tally, converted
from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.source import Choice, Source
from parrot_wrapper.data.shards import write_shard
from parrot_wrapper.data.storage import Manifest, write_manifest
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.io.atomic_files import atomic_folder
from parrot_wrapper.types import REWARDS_FACT, FloatArray

_SHARD_EPISODES = 64
_SHARD_BYTES = 128 * 1024**2


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
    """Write a foreign data set to `folder`, which appears when everything is written.

    Raises:
        DataFileError: `folder` is there already and not empty, or the source cannot be read.
        DataError: The source has nothing usable, or no episode is left.
    """
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
    return ImportReport(root, tally.counts(), steps, choice, dict(tally.ends), origin)


def load_source(source: Source, options: ImportOptions) -> EpisodeDataset:
    """Read a foreign data set into memory.

    Raises:
        DataFileError, DataError: As of `write_source`.
    """
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
        dropped = (
            f" All {tally.failed} were dropped as failures; keep='all' (--keep all) takes them too."
            if tally.failed
            else ""
        )
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
            **tally.counts(),
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
