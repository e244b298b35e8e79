"""How long a command will take, from a short measurement at its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_WORTH_SAYING = 30.0
"""Seconds; what takes less is not announced."""


def in_words(seconds: float) -> str:
    """A duration as one says it.

    Example:
        >>> in_words(41.0), in_words(730.0), in_words(9000.0)
        ('about 40 s', 'about 12 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def announce(what: str, seconds: float) -> None:
    """Print how long `what` takes on this machine, where that is long enough to matter."""
    if seconds >= _WORTH_SAYING:
        print(f"{what}: {in_words(seconds)} on this machine as busy as it is now.", flush=True)


def timed(action: Callable[[], Any], *, times: int = 1) -> float:
    """Seconds of one call, on average."""
    started = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - started) / times
