"""Typed errors of the environments; each is also the builtin that fits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
