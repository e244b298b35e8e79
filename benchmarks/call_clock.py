"""A clock around some functions of an object: what share of a run do they take?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class CallClock:
    """Adds up the seconds spent in functions while it is installed.

    Args:
        now: Reads the time. `time.thread_time` leaves out what other processes took, at the price
            of a slower clock.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = 0.0
        self._now = now

    @contextmanager
    def installed(self, owner: Any, names: Sequence[str]) -> Iterator[None]:
        """Time the owner's functions of these names in the block."""
        originals = {name: getattr(owner, name) for name in names}
        for name, function in originals.items():
            setattr(owner, name, self._timed(function))
        try:
            yield
        finally:
            for name, function in originals.items():
                setattr(owner, name, function)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = self._now()
            result = function(*args, **kwargs)
            self.seconds += self._now() - started
            return result

        return call
