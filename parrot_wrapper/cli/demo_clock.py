"""Wall-clock time of work that may be killed and started again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json

_EVERY_SECONDS = 5.0


class WorkClock:
    """Adds up the seconds of all sessions in a small JSON file; a kill loses at most five.

    Args:
        path: The file; a damaged one starts at zero.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "clock.json"
        >>> with WorkClock(path) as clock:
        ...     pass
        >>> 0.0 <= clock.seconds < 1.0
        True
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _read(path)
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def seconds(self) -> float:
        """Seconds so far, earlier sessions included."""
        return self._before + time.monotonic() - self._started

    def __enter__(self) -> WorkClock:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._write()

    def _keep(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self._write()

    def _write(self) -> None:
        write_json(self._path, {"seconds": self.seconds})


def _read(path: Path) -> float:
    try:
        return float(parse_json(path.read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
