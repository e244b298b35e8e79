"""Where the numbers of a training go while it runs: a progress bar and tensorboard."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_MEASURED = 30
"""Steps whose time tells how long all of them take."""
_WORTH_SAYING = 30.0
"""Seconds."""


class TrainingLog:
    """Progress bar (if asked for) and tensorboard rows (if it is installed and there is a folder).

    Args:
        folder: Where tensorboard's files go; None for none.
        steps: Length of the whole run.
        start: Steps made already; later rows of an interrupted run are taken back.
        label: Text before the bar.
        progress: Show the bar.
    """

    def __init__(
        self, folder: Path | None, steps: int, start: int, *, label: str, progress: bool
    ) -> None:
        self._bar: tqdm[None] = tqdm(
            total=steps, initial=start, unit="step", desc=label, disable=not progress
        )
        self._shown: dict[str, float] = {}
        self._steps, self._first = steps, start + 1
        self._announced = not progress
        self._clock = 0.0
        self._writer: SummaryWriter | None = None
        if folder is not None and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def tick(self) -> None:
        """One step is made."""
        self._bar.update()
        if not self._announced:
            self._announce(int(self._bar.n) - self._first)

    def _announce(self, measured: int) -> None:
        """Say once how long it takes, when some steps are measured."""
        if measured == 0:
            self._clock = time.perf_counter()  # the first step is slower than all others
        elif measured == _MEASURED:
            self._announced = True
            seconds = (time.perf_counter() - self._clock) / measured
            left = seconds * (self._steps - self._bar.n)
            if left >= _WORTH_SAYING:
                tqdm.write(
                    f"{self._steps} steps at {seconds:.2g} s each: about {left / 60:.1f} min, or "
                    "less where it stops early.",
                    file=sys.stderr,
                )

    def write(self, part: str, step: int, row: Mapping[str, float]) -> None:
        """Record scalars by name.

        Args:
            part: "training" or "validation"; goes before each name.
            step: Steps made so far.
            row: Scalars.
        """
        short = "val_" if part == "validation" else ""
        self._shown.update(
            {f"{short}{name}": value for name, value in row.items() if name != "learning_rate"}
        )
        shown = {name: f"{value:.3g}" for name, value in self._shown.items()}
        self._bar.set_postfix(shown, refresh=False)
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(f"{part}/{name}", value, step)
