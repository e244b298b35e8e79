"""Checks of single values of result rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from parrot_wrapper.errors import ParrotError

_ROUNDING = 1e-9


class RowError(ParrotError, ValueError):
    """What is wrong with a row; whoever read it adds file and line."""


def text(name: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        RowError: It is something else.
    """
    if not isinstance(value, str) or not value:
        raise RowError(f"expected {name} as text, found {value!r}")
    return value


def whole(name: str, value: object) -> int:
    """An integer of 0 or more.

    Raises:
        RowError: It is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RowError(f"expected {name} as an integer of 0 or more, found {value!r}")
    return value


def optional_count(name: str, value: object) -> int | None:
    """An integer of 0 or more, or None.

    Raises:
        RowError: It is something else.
    """
    return None if value is None else whole(name, value)


def number(name: str, value: object) -> float:
    """A finite number of 0 or more.

    Raises:
        RowError: It is something else.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < 0:  # type: ignore[arg-type,operator]
        raise RowError(f"expected {name} as a number of 0 or more, found {value!r}")
    return float(value)  # type: ignore[arg-type]


def mapping(name: str, value: object) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        RowError: It is something else.
    """
    if not isinstance(value, dict):
        raise RowError(f"expected {name} as a JSON object, found {value!r}")
    return value


def texts_by_name(name: str, value: object) -> Mapping[str, str]:
    """A JSON object of texts.

    Raises:
        RowError: It is something else.
    """
    found = mapping(name, value)
    if not all(isinstance(entry, str) for entry in found.values()):
        raise RowError(f"expected {name} as texts by name, found {value!r}")
    return found


def share(name: str, value: object) -> dict[str, Any]:
    """A share with its interval: value, low and high in [0, 1], and a count of episodes.

    Raises:
        RowError: It is something else.
    """
    found = mapping(name, value)
    if set(found) != {"value", "low", "high", "episodes"}:
        raise RowError(f"expected {name} with value, low, high and episodes, found {sorted(found)}")
    numbers = {key: number(f"{name}.{key}", found[key]) for key in ("low", "value", "high")}
    low, middle, high = numbers.values()
    if not low - _ROUNDING <= middle <= high + _ROUNDING <= 1.0 + 2 * _ROUNDING:
        raise RowError(f"expected {name} with 0 <= low <= value <= high <= 1, found {value!r}")
    return {**numbers, "episodes": whole(f"{name}.episodes", found["episodes"])}


def curve(name: str, value: object) -> tuple[tuple[int, float], ...]:
    """Pairs of env steps, growing, and success in [0, 1].

    Raises:
        RowError: It is something else.
    """
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise RowError(f"expected {name} as pairs of env steps and success, found {value!r}")
    pairs = tuple((whole(name, steps), number(name, success)) for steps, success in value)
    steps = [pair[0] for pair in pairs]
    if any(success > 1.0 for _, success in pairs) or sorted(set(steps)) != steps:
        raise RowError(f"expected {name} with growing env steps and shares, found {value!r}")
    return pairs
