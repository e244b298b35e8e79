"""One case of fuzzing: damage a file of a specimen, load it, say what came of it, put it right."""

from __future__ import annotations

import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np

from parrot_wrapper.errors import ParrotError
from tests.loaders.mutations import bombs, damage, damage_json, damage_tensors, seal_again
from tests.loaders.specimens import Specimen

SECONDS = 20.0
"""Longer is a hang, on a machine that has other things to do."""
MEGABYTES = 300.0
"""More memory for files of some kilobytes is too much."""


class TooSlow(BaseException):
    """Raised where a loader stands after `SECONDS`."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        kind: Name of the specimen.
        seed: Of the case.
        how: What was done to which file.
        result: "refused", "same", "other", or what is wrong.
        good: Whether that is as it should be.
    """

    kind: str
    seed: int
    how: str
    result: str
    good: bool


class Target:
    """A specimen whose files are whole between two cases."""

    def __init__(self, specimen: Specimen, mark: Path, others: list[bytes]) -> None:
        self.specimen, self._mark, self._others = specimen, mark, others
        self._whole = {path: path.read_bytes() for path in specimen.files()}
        self.files = list(self._whole)
        self._expected = specimen.load()
        assert specimen.load() == self._expected  # a loader that is not repeatable proves nothing

    def mutate(self, seed: int) -> Outcome:
        """Damage one file at random."""
        rng = np.random.default_rng([seed, 3])
        path = self.files[int(rng.integers(len(self.files)))]
        content, how = self._whole[path], "bytes"
        if path.suffix in (".json", ".jsonl") and rng.random() < 0.6:
            content, how = damage_json(content, rng), "JSON"
        elif path.suffix == ".safetensors" and rng.random() < 0.4:
            content, how = damage_tensors(content, rng), "header"
        else:
            content = damage(content, rng, others=self._others)
        resealed = bool(rng.random() < 0.5) and self.specimen.checked
        return self._try(path, content, seed, f"{how} of {path.name}", resealed=resealed)

    def explode(self) -> list[Outcome]:
        """Put malicious pickles in place of each file, with and without checksums put right."""
        return [
            self._try(path, content, number, f"pickle as {path.name}", resealed=resealed)
            for path in self.files
            for number, content in enumerate(bombs(self._mark))
            for resealed in (False, True)
        ]

    def _try(self, path: Path, content: bytes, seed: int, how: str, *, resealed: bool) -> Outcome:
        unchanged = content == self._whole[path]
        path.write_bytes(content)
        if resealed:
            seal_again(path)
        before, started = _peak_megabytes(), time.perf_counter()
        try:
            result, good = self._load(free=resealed or not self.specimen.checked or unchanged)
        finally:
            self._mend()
        seconds, grown = time.perf_counter() - started, _peak_megabytes() - before
        if self._mark.exists():
            result, good = "code was executed", False
        elif grown > MEGABYTES:
            result, good = f"{grown:.0f} MB of memory; {result}", False
        elif seconds > SECONDS:
            result, good = f"{seconds:.0f} s; {result}", False
        note = ", sealed again" if resealed else ""
        return Outcome(self.specimen.name, seed, how + note, result, good)

    def _load(self, *, free: bool) -> tuple[str, bool]:
        previous = signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            found = self.specimen.load()
        except ParrotError:
            return "refused", True
        except TooSlow:
            return f"no end after {SECONDS:.0f} s", False
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, previous)
        if found == self._expected:
            return "same", True
        return "other", free

    def _mend(self) -> None:
        for path in self.specimen.files():
            if path not in self._whole:
                path.unlink()
        for path, content in self._whole.items():
            path.write_bytes(content)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TooSlow


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
