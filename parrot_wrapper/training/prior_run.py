"""A training run between two steps: what is due when, and what it continues from."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from parrot_wrapper.errors import CheckpointError, DataError, ParrotError
from parrot_wrapper.io.interruption import deferred_interrupt
from parrot_wrapper.priors.trainable import Batch
from parrot_wrapper.training.prior_batches import prefetched, step_generator
from parrot_wrapper.training.prior_checkpoint import (
    CHECKPOINT_FILE,
    read_training_checkpoint,
    require_same_run,
    write_training_checkpoint,
)
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_data import PERTURBATION, TRAINING, TrainingData
from parrot_wrapper.training.prior_trainer import PriorTrainer

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FREE = frozenset(
    f"training.{key}" for key in ("checkpoint_every", "device", "loaders", "log_every", "threads")
)
"""Settings that a resumed run may change."""

_MEASURED = 30
"""Steps whose time tells how long all of them take."""
_WORTH_SAYING = 30.0
"""Seconds."""


@dataclass
class Progress:
    """The JSON half of a checkpoint."""

    step: int = 0
    stopped: str | None = None
    seconds: float = 0.0
    best_step: int = 0
    best_nll: float | None = None  # of what the run is judged by, a likelihood or not
    stale: int = 0  # validations since the best
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # of training losses since validation
    summed: int = 0


class PriorRun:
    """One run of a trainer over batches that are drawn by step number.

    Args:
        trainer: Makes the steps.
        config: Settings.
        data: What batches are made of.
        folder: Where the checkpoint is, or goes; None for none.
        settings: JSON-able; only a run with equal ones is continued.
    """

    def __init__(
        self,
        trainer: PriorTrainer,
        config: PriorTrainingConfig,
        *,
        data: TrainingData,
        folder: Path | None,
        settings: Mapping[str, Any],
    ) -> None:
        self._trainer, self._config, self._settings = trainer, config, dict(settings)
        self._ranks = trainer.ranks
        self._data = data
        self._folder = folder
        self.progress = Progress()
        self._best: dict[str, Tensor] = {}
        self._pending: list[dict[str, Tensor]] = []
        if has_checkpoint(folder):
            self._resume()
        self._follow_the_leader()
        self._clock = time.perf_counter()

    def run(self, *, progress: bool) -> None:
        """Make all steps that are left, with a progress bar, and keep the best weights."""
        with (
            deferred_interrupt() as interruption,
            closing(
                TrainingLog(
                    self._folder,
                    self._config.steps,
                    self.progress.step,
                    label=self._trainer.prior.type_tag,
                    progress=progress,
                )
            ) as log,
        ):
            for batch in self._batches():
                self._advance(batch, log)
                self.progress.stopped = self._ranks.led(self.progress.stopped)
                interrupted = self._ranks.one_of_them(interruption.requested)
                if interrupted and self.progress.stopped is None:
                    self._save()
                    raise KeyboardInterrupt
                if self.progress.stopped is not None:
                    break
        self._best, self.progress = self._ranks.led((self._best, self.progress))
        self._trainer.prior.load_state_dict(self._best)
        self._trainer.prior.requires_grad_(False).eval()

    def _batches(self) -> Iterator[Batch]:
        """The batches that are still to come, in order."""
        if self.progress.stopped is not None:
            return
        make = self._data.maker()
        with prefetched(
            lambda step: self._ranks.share(
                make(step_generator(self._config.seed, TRAINING, step), step)
            ),
            start=self.progress.step,
            stop=self._config.steps,
            threads=self._config.loaders,
            pin=self._trainer.device.type == "cuda",
        ) as stream:
            yield from stream

    def _seconds(self) -> float:
        """Time in training, over all resumed parts."""
        return self.progress.seconds + time.perf_counter() - self._clock

    def _fraction(self) -> float:
        """How much of the run is over, by steps or by time."""
        limit = self._config.max_seconds
        timed: float = self._ranks.led(self._seconds()) / limit if limit else 0.0
        return min(1.0, max(self.progress.step / self._config.steps, timed))

    def _advance(self, batch: Batch, log: TrainingLog) -> None:
        """One gradient step, then whatever is due after it."""
        config, progress = self._config, self.progress
        rate = config.learning_rate_at(progress.step + 1, fraction=self._fraction())
        stream = step_generator(config.seed, PERTURBATION, progress.step)
        losses = self._trainer.update(
            batch, step=progress.step, learning_rate=rate, seed=int(stream.integers(2**62))
        )
        self._pending.append(losses)
        progress.step += 1
        log.tick()
        if self._fraction() >= 1.0:
            progress.stopped = "steps" if progress.step >= config.steps else "time"
        if progress.step % config.log_every == 0:
            self._collect(rate, log)
        if progress.stopped is not None or progress.step % config.validate_every == 0:
            self._collect(rate, log)
            self._validate(rate, log)
        if progress.stopped is not None or progress.step % config.checkpoint_every == 0:
            self._save()

    def _collect(self, rate: float, log: TrainingLog | None) -> None:
        """Bring the pending losses to the CPU and add them to the sums, one by one."""
        if not self._pending:
            return
        names = list(self._pending[0])
        stacked = torch.stack([torch.stack([row[n] for n in names]) for row in self._pending])
        rows: list[list[float]] = stacked.double().tolist()
        self._pending.clear()
        for row in rows:
            for name, value in zip(names, row, strict=True):
                self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        self.progress.summed += len(rows)
        means = {name: sum(row[i] for row in rows) / len(rows) for i, name in enumerate(names)}
        if not all(math.isfinite(value) for value in means.values()):
            raise DataError(
                f"Training diverged before step {self.progress.step}: expected finite losses, got "
                f"{means}; lower learning_rate or look for extreme values in the data."
            )
        if log is not None:
            log.write("training", self.progress.step, {**means, "learning_rate": rate})

    def _validate(self, rate: float, log: TrainingLog) -> None:
        if not self._ranks.leads:
            return
        progress = self.progress
        losses = self._trainer.validate(self._data.held_out())
        log.write("validation", progress.step, losses)
        progress.history.append(
            {
                "step": progress.step,
                "seconds": self._seconds(),
                "learning_rate": rate,
                "training": {n: v / progress.summed for n, v in progress.sums.items()},
                "validation": losses,
            }
        )
        progress.sums, progress.summed = {}, 0
        judged = self._trainer.prior.criterion(losses)
        if progress.best_nll is None or judged < progress.best_nll:
            progress.best_nll, progress.best_step = judged, progress.step
            progress.stale = 0
            self._best = self._trainer.snapshot()
        else:
            progress.stale += 1
        if progress.stopped is None and 0 < self._config.patience <= progress.stale:
            progress.stopped = "patience"

    def _save(self) -> None:
        """Write a checkpoint, where there is a folder for it."""
        if self._folder is None or not self._ranks.leads:
            return
        self._collect(0.0, None)
        best = {f"best/{name}": tensor for name, tensor in self._best.items()}
        state = {**asdict(self.progress), "seconds": self._seconds()}
        write_training_checkpoint(
            self._folder / CHECKPOINT_FILE,
            {**self._trainer.tensors(), **best},
            {"settings": self._settings, "progress": state},
        )

    def _follow_the_leader(self) -> None:
        """Begin where rank 0 begins; it alone needs to see the folder."""
        if self._ranks.size > 1:
            tensors, self.progress = self._ranks.led((self._trainer.tensors(), self.progress))
            self._trainer.restore(tensors)

    def _resume(self) -> None:
        assert self._folder is not None
        path = self._folder / CHECKPOINT_FILE
        tensors, state = read_training_checkpoint(path)
        stored = _as_today(path, state["settings"], self._trainer.prior.config)
        require_same_run(path, stored, self._settings, free=_FREE)
        try:
            self._trainer.restore(tensors)
            self.progress = Progress(
                **{f.name: state["progress"][f.name] for f in fields(Progress)}
            )
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: written by another version: {error}; start in another folder."
            ) from error
        self._best = {
            name.removeprefix("best/"): tensor.to(self._trainer.device)
            for name, tensor in tensors.items()
            if name.startswith("best/")
        }


def _as_today(path: Path, stored: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Settings of a run that an earlier version began, as this version names them.

    What a config did not have then, `from_dict` knows, else the run would not go on the same.
    """
    if "method" in stored:
        raise CheckpointError(
            f"{path}: begun by `parrot train-baseline {stored['method']}`, which is now `parrot "
            "train-prior --kind`, with another loop; start in another folder."
        )
    training = {"sight_share": 1.0, "optimiser": "adam", **stored.get("training", {})}
    prior = dict(stored.get("prior", {}))
    if "jacobian" in training:
        prior["jacobian"] = training.pop("jacobian")
    try:
        prior = type(config).from_dict(prior).to_dict()
    except ParrotError as error:
        raise CheckpointError(
            f"{path}: written by another version: {error} Start in another folder."
        ) from error
    return {"kind": "flow", **stored, "training": training, "prior": prior}


def has_checkpoint(folder: Path | None) -> bool:
    """Whether a run was begun in this folder."""
    return folder is not None and (folder / CHECKPOINT_FILE).is_file()


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of all weights and statistics."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


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

    def close(self) -> None:
        """End the bar and the file."""
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
