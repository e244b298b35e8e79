"""A foreign data set as its reader offers it: what it has, and episodes one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from parrot_wrapper.errors import DataError
from parrot_wrapper.types import AnyArray, FloatArray


class Part(NamedTuple):
    """One array of a data set.

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
    def is_float_image(self) -> bool:
        """Whether this looks like a colour image that was not stored as uint8."""
        return self.dtype.kind == "f" and len(self.shape) == 3 and 3 in self.shape[::2]

    @property
    def is_vector(self) -> bool:
        """Whether this is surely (part of) a vector: numbers, along at most one axis."""
        return self.can_be_vector and (len(self.shape) < 2 or 1 in self.shape)

    @property
    def can_be_vector(self) -> bool:
        """Whether this can be flattened to (part of) a vector: numbers, at most two axes."""
        return self.dtype.kind in "fiub" and len(self.shape) <= 2


@dataclass(frozen=True)
class Choice:
    """What is taken of a data set.

    Attributes:
        images: The parts that are images; one that is alone becomes "image", several keep names.
        vectors: The parts that become `vector_name`, one after the other.
        left_out: The other parts.
        action: The array of actions.
        reward: The array of rewards, or None.
        success: The array whose last value says whether an episode succeeded, or None.
        ends: The arrays that are true at the last step of an episode, any of them.
        flattened: Vectors and actions of two axes, with those axes.
    """

    images: tuple[str, ...]
    vectors: tuple[str, ...]
    left_out: tuple[str, ...]
    action: str
    reward: str | None = None
    success: str | None = None
    ends: tuple[str, ...] = ()
    flattened: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def image(self) -> str | None:
        """The first of the images, or None."""
        return self.images[0] if self.images else None

    @property
    def named_images(self) -> dict[str, str]:
        """What we call each image to what it was called."""
        alone = len(self.images) == 1
        return {"image" if alone else name: name for name in self.images}

    @property
    def vector_name(self) -> str:
        """What the vector is called: "proprio" beside an image, "state" without."""
        return "proprio" if self.images else "state"

    @property
    def keys(self) -> tuple[str, ...]:
        """All parts of observations that are taken."""
        return (*self.images, *self.vectors)

    @property
    def fields(self) -> tuple[str, ...]:
        """All arrays beside the observations that are taken."""
        return tuple(filter(None, (self.action, self.reward, self.success, *self.ends)))

    def taken(self) -> dict[str, Any]:
        """JSON-able: what we call it to what it was called."""
        return {
            **(self.named_images or {"image": None}),
            self.vector_name: list(self.vectors),
            "actions": self.action,
            "rewards": self.reward,
            "success": self.success,
        }


@dataclass(frozen=True)
class RawEpisode:
    """One episode as a reader found it; nothing is checked yet.

    Attributes:
        name: Where it is from, for messages.
        observations: Part to array with T or T+1 rows.
        actions: (T, A), or (T, ...) of two axes.
        rewards: (T,), or None where there are none.
        success: Whether it succeeded, or None where that is not known.
        seed: Seed of its reset, -1 where not known.
        labels: Name to array (T+1, ...) of simulator state.
        end: What told where it ends; empty where the format keeps episodes apart.
    """

    name: str
    observations: Mapping[str, AnyArray]
    actions: AnyArray
    rewards: AnyArray | None = None
    success: bool | None = None
    seed: int = -1
    labels: Mapping[str, AnyArray] = field(default_factory=dict)
    end: str = ""


@dataclass(frozen=True)
class Source:
    """A foreign data set, open for reading.

    Attributes:
        name: Where it is, for messages.
        parts: What observations can be made of, as the first episode tells.
        fields: What else can be named: actions, rewards, success, flags of ends. In a format that
            keeps all in one place it has the parts too.
        n_episodes: How many episodes there are; None where only reading tells.
        read: From what is taken to the episodes in order, read one by one.
        action_box: Low and high (A,) of the env, or None where it is not told.
        unit_box: The box is -1 ... 1 if all actions lie in it.
        flat: Arrays hold many episodes, so that flags have to tell where each ends.
        takes_all: Of several images all are taken where none is asked for.
        settings: JSON-able; goes into the data set's settings.
        facts: JSON-able; goes into the data set's facts.
    """

    name: str
    parts: Mapping[str, Part]
    fields: Mapping[str, Part]
    n_episodes: int | None
    read: Callable[[Choice], Iterator[RawEpisode]]
    action_box: tuple[FloatArray, FloatArray] | None = None
    unit_box: bool = False
    flat: bool = False
    takes_all: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def parts_of(arrays: Mapping[str, AnyArray | Part]) -> dict[str, Part]:
    """The parts that arrays (rows, ...) are, or that their whole shapes tell; no single values."""
    return {name: Part(a.shape[1:], a.dtype) for name, a in arrays.items() if a.shape}


def last_success(told: AnyArray | None) -> bool | None:
    """Whether an episode succeeded, as the last of the values that tell it says."""
    if told is not None and np.asarray(told).dtype.kind not in "fiub":
        raise DataError(f"Expected success as True or False, got dtype {np.asarray(told).dtype}.")
    return None if told is None or not np.size(told) else bool(np.ravel(told)[-1])
