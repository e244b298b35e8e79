"""From a reader's raw episodes to checked ones; failures are dropped, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from parrot_wrapper.checks import float_array, number_array
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.exchange.images import resized
from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.source import Choice, RawEpisode, Source, parts_of
from parrot_wrapper.errors import DataError
from parrot_wrapper.image_layout import channels_last
from parrot_wrapper.types import AnyArray, FloatArray


@dataclass
class Tally:
    """What became of the episodes, and all of their actions.

    Attributes:
        read: Episodes that were looked at.
        failed: Those dropped as failures.
        unknown: Those kept though nothing told whether they succeeded.
        repeated: Those whose last observation had to stand for the one after the last action.
        ends: How many of those kept end by what; empty where the format keeps them apart.
        unrewarded: Those without rewards, which are stored as zeros.
        actions: (T, A) of each kept episode.
    """

    read: int = 0
    failed: int = 0
    unknown: int = 0
    repeated: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    unrewarded: int = 0
    actions: list[FloatArray] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """JSON-able."""
        return {
            "read": self.read,
            "kept": len(self.actions),
            "dropped_as_failures": self.failed,
            "success_unknown": self.unknown,
            "last_observation_repeated": self.repeated,
        }


def converted(
    source: Source, choice: Choice, options: ImportOptions, tally: Tally
) -> Iterator[Episode]:
    """The episodes to keep, one after the other.

    Raises:
        DataError: An episode cannot be used, or differs from the first in shape; its name is in
            the message.
    """
    layout: dict[str, tuple[int, ...]] = {}
    for raw in source.read(choice):
        if options.episodes and tally.read == options.episodes:
            return
        tally.read += 1
        success = _success(raw, options)
        if success is False and options.keep == "successes":
            tally.failed += 1
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
        tally.unknown += success is None
        tally.unrewarded += raw.rewards is None
        tally.repeated += any(len(raw.observations[k]) == len(raw.actions) for k in choice.keys)
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
    if choice.image is not None:
        images = _rows(raw, choice.image, steps)
        if not parts_of({"image": images})["image"].is_image:
            raise DataError(
                f"{raw.name}: expected uint8 images in {choice.image!r}, got shape {images.shape}, "
                f"dtype {images.dtype}."
            )
        images = channels_last(images)
        observations["image"] = (
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
