"""Checks of what a user passes in: each raises one error that says what is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_envs.errors import EnvArgumentError, unknown_choice

ACTION_SIZE = 7


def check_choice(kind: str, value: object, known: Iterable[str]) -> None:
    """Refuse what is not among `known`, naming the nearest."""
    choices = list(known)
    if value not in choices:
        raise unknown_choice(kind, value, choices)


def check_pixels(name: str, value: object, smallest: int, reason: str) -> None:
    """Refuse what is no int of at least `smallest`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise EnvArgumentError(
            f"{name} must be an int of at least {smallest} pixels ({reason}), got {value!r}."
        )


def check_flag(name: str, value: object) -> None:
    """Refuse what is no bool: the text "False" would count as true."""
    if not isinstance(value, bool):
        raise EnvArgumentError(f"{name} must be True or False, got {value!r}.")


def check_options(options: object) -> None:
    """Refuse options of `reset`, of which there are none; an empty dict will do."""
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise EnvArgumentError(f"options must be a dict or None, got {options!r}.")
    if options:
        raise EnvArgumentError(f"reset() knows no options, got {', '.join(map(repr, options))}.")


def checked_action(action: Any) -> npt.NDArray[np.float64]:
    """The action (7,) as float64, clipped to -1..1.

    Raises:
        EnvArgumentError: It is no vector of 7 finite numbers.
    """
    try:
        array = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EnvArgumentError(
            f"An action must be {ACTION_SIZE} numbers, got {action!r}."
        ) from error
    if array.shape != (ACTION_SIZE,):
        raise EnvArgumentError(f"An action has shape ({ACTION_SIZE},), got {array.shape}.")
    if not np.isfinite(array).all():
        raise EnvArgumentError(f"An action must be finite, got {array.tolist()}.")
    return np.clip(array, -1.0, 1.0)
