"""Errors of the environments, and checks of arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_SHOWN_CHOICES = 20


class ParrotEnvError(Exception):
    """Root of the errors that this package raises for a mistake a user can fix."""


class EnvArgumentError(ParrotEnvError, ValueError):
    """A constructor argument or an action is outside its documented range."""


class EnvStateError(ParrotEnvError, ValueError):
    """A saved state is truncated, altered, foreign, or belongs to another env."""


class EnvClosedError(ParrotEnvError, RuntimeError):
    """The environment was used after `close()`, or the simulator could not be opened."""


class SceneError(ParrotEnvError, RuntimeError):
    """No free place was found on the table for all things of a scene."""


def unknown_choice(kind: str, value: object, known: Iterable[str]) -> EnvArgumentError:
    """Build the error for a name that is not among `known`, naming the nearest one."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    more = f", ... ({len(choices)} in all)" if len(choices) > _SHOWN_CHOICES else ""
    shown = ", ".join(choices[:_SHOWN_CHOICES]) + more
    return EnvArgumentError(f"Unknown {kind} {value!r}.{hint} Known: {shown}.")


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


def check_noise(noise: float) -> None:
    """Refuse what is no standard deviation."""
    if not (np.isfinite(noise) and noise >= 0):
        raise EnvArgumentError(f"noise must be a finite number >= 0, got {noise!r}.")


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


def checked_action(action: Any, size: int = ACTION_SIZE) -> npt.NDArray[np.float64]:
    """The action (size,) as float64, clipped to -1..1."""
    try:
        array = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EnvArgumentError(f"An action must be {size} numbers, got {action!r}.") from error
    if array.shape != (size,):
        raise EnvArgumentError(f"An action has shape ({size},), got {array.shape}.")
    if not np.isfinite(array).all():
        raise EnvArgumentError(f"An action must be finite, got {array.tolist()}.")
    return np.clip(array, -1.0, 1.0)
