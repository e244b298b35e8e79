"""One recorded episode, checked where it is made, and the observations of many."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_wrapper.checks import float_array, number_array, require_instance
from parrot_wrapper.errors import DataError, require_known
from parrot_wrapper.image_layout import channels_last, is_images
from parrot_wrapper.types import KEYS_FACT, SEES_FACT, AnyArray, FloatArray, Observations


def observation_mapping(observations: Observations) -> dict[str, AnyArray]:
    """Name the parts of one observation or of many stacked ones.

    Args:
        observations: A mapping (kept as it is), uint8 images, which get the key `"image"`, or
            float vectors (..., S), which get the key `"state"`.

    Returns:
        uint8 arrays as they are, everything else as float32.
    """
    if isinstance(observations, Mapping):
        parts = {
            str(name): number_array(f"observations[{name!r}]", part, DataError)
            for name, part in observations.items()
        }
    else:
        array = number_array("observations", observations, DataError)
        parts = {"image" if array.dtype == np.uint8 else "state": array}
    return {
        name: part if part.dtype == np.uint8 else float_array(name, part, DataError)
        for name, part in parts.items()
    }


def observation_rows(observations: Observations) -> dict[str, AnyArray]:
    """`observation_mapping` of many stacked ones, with images as (rows, H, W, C).

    Images may come as (rows, C, H, W), and as stacks of frames (rows, N, H, W, C) or
    (rows, N, C, H, W), whose frames become channels.
    """
    return {
        name: np.ascontiguousarray(channels_last(part)) if is_images(name, part) else part
        for name, part in observation_mapping(observations).items()
    }


def require_finite(name: str, array: AnyArray) -> None:
    """Refuse NaN and infinities: a `DataError` says how many and where the first one is."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise DataError(
            f"Expected finite {name}, got {int((~finite).sum())} NaN or infinite values, the first "
            f"at index {first}. Drop or repair those episodes before they are used."
        )


def truths(name: str, values: object) -> npt.NDArray[np.bool_]:
    """Values that are true or false, or 1 and 0, as bool; anything else is a `DataError`."""
    array = number_array(name, values, DataError)
    if not np.isin(array, (0, 1)).all():
        raise DataError(f"Expected {name} as true or false, got {reprlib.repr(values)}.")
    return array.astype(np.bool_)


def limited(
    observations: Mapping[str, AnyArray], metadata: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Some of the observations, by the parts that priors know, and metadata that say which.

    Images keep their names. Vectors are joined in the order of `names`: beside an image they are
    "proprio", alone "state". Of no names, observations stay as they are: not to be looked at.
    """
    require_known("observation of the data", names, observations)
    facts = {**metadata, SEES_FACT: list(names)}
    if not names:
        return dict(observations), facts
    chosen = {name: observations[name] for name in names}
    seen = {name: part for name, part in chosen.items() if is_images(name, part)}
    vectors = {name: part for name, part in chosen.items() if name not in seen}
    strange = [name for name, part in vectors.items() if part.ndim != 2 or part.dtype == np.uint8]
    if strange:
        raise DataError(f"Expected images or vectors to look at, {', '.join(strange)} are neither.")
    if vectors:
        part = "proprio" if seen else "state"
        seen[part] = np.concatenate(list(vectors.values()), axis=1)
        told = metadata.get(KEYS_FACT, {})
        keys = [key for name in vectors for key in told.get(name, [name])]
        facts[KEYS_FACT] = {**told, part: keys}
    return seen, facts


@dataclass(frozen=True)
class Episode:
    """One episode of T >= 1 steps, with the observation after the last step.

    Attributes:
        observations: Name to array (T+1, ...); `"image"`, and further images by names of their
            own, (T+1, H, W, C) uint8, `"proprio"` or `"state"` (T+1, P) float32. Images with
            channels first and stacks of frames are turned.
        actions: (T, A) float32, as given to the env.
        rewards: (T,) float32.
        success: Whether the episode ended with the task's condition fulfilled.
        seed: The seed that env was reset with; -1 where it is not known.
        labels: Name to array (T+1, ...) float32 of simulator state, for probes; may be empty.

    Raises:
        DataError: An array is empty, not finite, or its length disagrees with the actions'.

    Example:
        >>> episode = Episode({"state": np.zeros((3, 4))}, np.zeros((2, 1)), np.zeros(2), True, 7)
        >>> episode
        Episode(steps=2, observations={state: (3, 4)}, actions=(2, 1), success=True, seed=7)
    """

    observations: Mapping[str, AnyArray]
    actions: FloatArray
    rewards: FloatArray
    success: bool
    seed: int
    labels: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Convert dtypes, then check every length and value."""
        set_field = object.__setattr__  # the dataclass is frozen for everyone else
        set_field(self, "observations", observation_rows(self.observations))
        for name in ("actions", "rewards"):
            set_field(self, name, float_array(name, getattr(self, name), DataError))
        require_instance("labels", self.labels, Mapping, "a mapping of arrays by name", DataError)
        labels = {k: float_array(f"labels[{k!r}]", v, DataError) for k, v in self.labels.items()}
        set_field(self, "labels", labels)
        set_field(self, "success", bool(truths("success", self.success).all()))
        if not isinstance(self.seed, int | np.integer):
            raise DataError(f"Expected a seed as an integer, -1 for none, got {self.seed!r}.")
        set_field(self, "seed", int(self.seed))
        if self.actions.ndim != 2 or 0 in self.actions.shape:
            raise DataError(
                f"Expected actions of shape (T, A) with T, A >= 1, got {self.actions.shape}."
            )
        if not self.observations:
            raise DataError("Expected at least one observation array, got none.")
        if self.rewards.shape != (self.n_steps,):
            raise DataError(
                f"Expected rewards of shape ({self.n_steps},), one per action, got "
                f"{self.rewards.shape}."
            )
        for name, array in self._named_arrays():
            if array.shape[:1] != (self.n_steps + 1,):
                raise DataError(
                    f"Expected {name} of length {self.n_steps + 1} (one more than the "
                    f"{self.n_steps} actions), got shape {array.shape}. Append the observation "
                    "after the last action."
                )
        for name, array in (("actions", self.actions), ("rewards", self.rewards)):
            require_finite(name, array)
        for name, array in self._named_arrays():
            require_finite(name, array)

    def _named_arrays(self) -> Iterable[tuple[str, AnyArray]]:
        yield from ((f"observations[{name!r}]", part) for name, part in self.observations.items())
        yield from ((f"labels[{name!r}]", part) for name, part in self.labels.items())

    def __repr__(self) -> str:
        """Shapes instead of arrays."""
        shapes = ", ".join(f"{name}: {part.shape}" for name, part in self.observations.items())
        return (
            f"Episode(steps={self.n_steps}, observations={{{shapes}}}, "
            f"actions={self.actions.shape}, success={self.success}, seed={self.seed})"
        )

    @property
    def n_steps(self) -> int:
        """T: the number of actions."""
        return len(self.actions)

    def digest(self) -> bytes:
        """SHA-256 (32 bytes) over every name, shape, dtype and value of the episode."""
        named = dict(self._named_arrays()) | {"actions": self.actions, "rewards": self.rewards}
        sha = hashlib.sha256(f"{self.success} {self.seed}".encode())
        for name in sorted(named):
            part = named[name]
            little = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<"))
            sha.update(f"{name} {little.dtype.str} {little.shape}".encode())
            sha.update(little.data)
        return sha.digest()
