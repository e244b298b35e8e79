"""A foreign data set as its reader offers it: what it has, and episodes one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from parrot_wrapper.types import AnyArray, FloatArray


class Part(NamedTuple):
    """One part of an observation.

    Attributes:
        shape: Of one step.
        dtype: As stored.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_image(self) -> bool:
        """Whether this can be an image: uint8, height, width and channels in some order."""
        return self.dtype == np.uint8 and len(self.shape) == 3

    @property
    def is_vector(self) -> bool:
        """Whether this can be (part of) a vector: numbers, at most one axis."""
        return self.dtype.kind in "fiub" and len(self.shape) <= 1


@dataclass(frozen=True)
class RawEpisode:
    """One episode as a reader found it; nothing is checked yet.

    Attributes:
        name: Where it is from, for messages.
        observations: Part to array with T or T+1 rows.
        actions: (T, A).
        rewards: (T,), or None where there are none.
        success: Whether it succeeded, or None where that is not known.
        seed: Seed of its reset, -1 where not known.
        labels: Name to array (T+1, ...) of simulator state.
    """

    name: str
    observations: Mapping[str, AnyArray]
    actions: AnyArray
    rewards: AnyArray | None = None
    success: bool | None = None
    seed: int = -1
    labels: Mapping[str, AnyArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A foreign data set, open for reading.

    Attributes:
        name: Where it is, for messages.
        parts: What an observation has, as the first episode tells.
        n_episodes: How many episodes there are.
        read: From the names of the parts wanted to the episodes in order, read one by one.
        action_box: Low and high (A,) of the env, or None where it is not told.
        settings: JSON-able; goes into the data set's settings.
        facts: JSON-able; goes into the data set's facts.
    """

    name: str
    parts: Mapping[str, Part]
    n_episodes: int
    read: Callable[[Sequence[str]], Iterator[RawEpisode]]
    action_box: tuple[FloatArray, FloatArray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def parts_of(observations: Mapping[str, AnyArray]) -> dict[str, Part]:
    """The parts that an episode's arrays (rows, ...) are."""
    return {name: Part(array.shape[1:], array.dtype) for name, array in observations.items()}
