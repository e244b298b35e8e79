"""What a prior is made of, as plain numbers: validated, frozen, exact in JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from parrot_wrapper.checks import is_number, require_instance
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.types import PARTS, ObservationSpec

_ConfigT = TypeVar("_ConfigT", bound="PriorConfig")
_TAKEN = (*PARTS, "action", "features", "progress")
"""What else stands in a batch, by name."""


@dataclass(frozen=True)
class PriorConfig:
    """What the configs of all kinds of prior share.

    Attributes:
        observation: What the prior looks at.
        action_dim: A, number of action dimensions, 1 or more.
        encoder: Name of the observation encoder, one of `priors.registry.ENCODERS`.
        encoder_options: Keyword options of that encoder; JSON-able.
        action_low: Lower edge of the action box, length A; empty for all -1.
        action_high: Upper edge of the action box, length A; empty for all +1.

    Raises:
        InvalidArgumentError: A value is outside its range; the message names the field.
    """

    FROM_DATA: ClassVar = ("observation", "action_dim", "action_low", "action_high")

    observation: ObservationSpec
    action_dim: int
    encoder: str = "keypoints"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_at_least("action_dim", self.action_dim, 1)
        _check_observation(self.observation)
        low = _edge("action_low", self.action_low) or (-1.0,) * self.action_dim
        high = _edge("action_high", self.action_high) or (1.0,) * self.action_dim
        _check_box(low, high, self.action_dim)
        object.__setattr__(self, "action_low", low)
        object.__setattr__(self, "action_high", high)
        object.__setattr__(self, "encoder_options", _plain_options(self.encoder_options))

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values; `from_dict` restores an equal config."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        if not self.observation.cameras:  # as it was before there were any
            del content["observation"]["cameras"]
        return content

    @classmethod
    def from_dict(cls: type[_ConfigT], content: Mapping[str, Any]) -> _ConfigT:
        """Restore a config from `to_dict`'s output.

        Raises:
            UnknownNameError: `content` has a key that this version does not know.
            InvalidArgumentError: A required key is missing or a value is out of range.
        """
        require_known("prior config key", content, [f.name for f in fields(cls)])
        missing = [key for key in ("observation", "action_dim") if key not in content]
        if missing:
            raise InvalidArgumentError(f"The prior config lacks the key(s) {', '.join(missing)}.")
        values = dict(content)
        observation = values.pop("observation")
        if not isinstance(observation, Mapping):
            raise InvalidArgumentError(f"observation must be a mapping, got {observation!r}.")
        require_known("observation key", observation, [f.name for f in fields(ObservationSpec)])
        image = observation.get("image")
        try:
            spec = ObservationSpec(
                image=None if image is None else tuple(image),
                proprio=observation.get("proprio", 0),
                state=observation.get("state", 0),
                cameras={k: tuple(v) for k, v in dict(observation.get("cameras", {})).items()},
            )
            return cls(observation=spec, **values)
        except TypeError as error:
            raise InvalidArgumentError(
                f"The prior config has a value of a wrong type: {error}."
            ) from error


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def require_at_least(name: str, value: int, least: int) -> None:
    """Refuse anything but an integer of at least `least`."""
    if not _is_integer(value) or value < least:
        raise InvalidArgumentError(f"{name} must be an integer of at least {least}, got {value!r}.")


def _edge(name: str, values: Sequence[float]) -> tuple[float, ...]:
    if not isinstance(values, tuple | list) or not all(map(is_number, values)):
        raise InvalidArgumentError(f"{name} must be a tuple of numbers, got {values!r}.")
    return tuple(float(value) for value in values)


def _check_observation(spec: ObservationSpec) -> None:
    require_instance("observation", spec, ObservationSpec, "an ObservationSpec")
    require_at_least("observation.proprio", spec.proprio, 0)
    require_at_least("observation.state", spec.state, 0)
    taken = [name for name in spec.cameras if name in _TAKEN]
    if taken:
        raise InvalidArgumentError(
            f"observation.cameras must have names of their own, got {', '.join(taken)}; rename it "
            "in the data and the env."
        )
    for name, shape in spec.images.items():
        _check_image(name, shape)
    if not spec.parts:
        raise InvalidArgumentError(
            "The observation is empty; give an image shape (H, W, C) or a state length."
        )


def _check_image(name: str, shape: object) -> None:
    if (
        not isinstance(shape, tuple | list)
        or len(shape) != 3
        or not all(_is_integer(side) and side > 0 for side in shape)
    ):
        raise InvalidArgumentError(
            f"observation.{name} must be three positive integers (H, W, C), got {shape!r}."
        )


def _check_box(low: tuple[float, ...], high: tuple[float, ...], action_dim: int) -> None:
    if len(low) != action_dim or len(high) != action_dim:
        raise InvalidArgumentError(
            f"action_low and action_high must have length {action_dim} (action_dim), "
            f"got {len(low)} and {len(high)}."
        )
    for index, (a, b) in enumerate(zip(low, high, strict=True)):
        if not (math.isfinite(a) and math.isfinite(b) and a < b):
            raise InvalidArgumentError(
                f"The action box must be finite with low < high, got [{a}, {b}] in dimension "
                f"{index}; rescale the env's actions (gymnasium.wrappers.RescaleAction)."
            )


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy in JSON's own types, so that a stored config equals the one in memory."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"encoder_options must be JSON-able (numbers, strings, lists, mappings): {error}."
        ) from error
    return plain
