"""A training run between two steps: what is due when, and what it continues from."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import CheckpointError, DataError, InvalidArgumentError
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.training.prior_batches import batch_maker, prefetched, step_generator
from parrot_wrapper.training.prior_checkpoint import (
    CHECKPOINT_FILE,
    read_training_checkpoint,
    require_same_run,
    write_training_checkpoint,
)
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_log import TrainingLog
from parrot_wrapper.training.prior_trainer import Batch, PriorTrainer, use_bfloat16

_SPLIT, _STATISTICS, _VALIDATION, _TRAINING, _PERTURBATION = range(5)
"""Streams of random numbers; each is seeded apart."""
_STATISTICS_SIZE = 4096
_FREE = frozenset(
    f"training.{key}" for key in ("checkpoint_every", "device", "loaders", "log_every", "threads")
)
"""Settings that a resumed run may change."""


@dataclass
class Progress:
    """The JSON half of a checkpoint."""

    step: int = 0
    stopped: str | None = None
    seconds: float = 0.0
    best_step: int = 0
    best_nll: float | None = None
    stale: int = 0  # validations since the best
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # of training losses since validation
    summed: int = 0


class PriorRun:
    """One run of `fit_prior`; see there."""

    def __init__(
        self,
        prior: FlowPrior,
        dataset: EpisodeDataset,
        config: PriorTrainingConfig,
        folder: Path | None,
        *,
        fine_tune: bool = False,
    ) -> None:
        if dataset.n_episodes < 2:
            raise DataError(
                f"Expected two or more episodes, one to hold out, got {dataset.n_episodes}."
            )
        self._config = config
        self._device = _device(config.device)
        self._prior = prior.to(self._device)
        self._path = None if folder is None else folder / CHECKPOINT_FILE
        self._settings = {
            "prior": prior.config.to_dict(),
            "training": config.to_dict(),
            "data": {"sha256": dataset.content_hash},
            "initial": _weights_digest(prior) if fine_tune else None,
        }
        self.progress = Progress()
        self._best: dict[str, Tensor] = {}
        self._pending: list[dict[str, Tensor]] = []
        self._prepare(dataset)
        self._clock = time.perf_counter()

    def _prepare(self, dataset: EpisodeDataset) -> None:
        config, spread = self._config, self._config.edge_spread
        training, held_out = dataset.split(
            config.validation_fraction, step_generator(config.seed, _SPLIT)
        )
        kind = self._prior.config
        self._make = batch_maker(training, kind, batch_size=config.batch_size, edge_spread=spread)
        make = batch_maker(held_out, kind, batch_size=config.batch_size, edge_spread=spread)
        self._held_out = [
            make(step_generator(config.seed, _VALIDATION, index))
            for index in range(config.validation_batches)
        ]
        stored = self._path is not None and self._path.is_file()
        if not stored and self._settings["initial"] is None:
            make = batch_maker(training, kind, batch_size=_STATISTICS_SIZE, edge_spread=spread)
            self._set_statistics(make(step_generator(config.seed, _STATISTICS)))
        self._trainer = PriorTrainer(
            self._prior,
            bfloat16=use_bfloat16(config.precision, self._device),
            ema_decay=config.ema_decay,
            gradient_clip=config.gradient_clip,
        )
        if stored:
            self._resume()

    def _set_statistics(self, sample: Batch) -> None:
        sample = {key: value.to(self._device) for key, value in sample.items()}
        action = sample["action"].double()
        low, high = (torch.from_numpy(edge).to(action) for edge in self._prior.action_bounds)
        least = 1e-3 * (high - low)  # a constant dimension must not blow up
        std = torch.maximum(action.std(dim=0, correction=0), least)
        self._prior.set_action_scale(action.mean(dim=0), std)
        self._prior.encoder.initialise(sample)

    def batches(self) -> Iterator[Batch]:
        """The batches that are still to come, in order."""
        if self.progress.stopped is not None:
            return
        with prefetched(
            lambda step: self._make(step_generator(self._config.seed, _TRAINING, step)),
            start=self.progress.step,
            stop=self._config.steps,
            threads=self._config.loaders,
            pin=self._device.type == "cuda",
        ) as stream:
            yield from stream

    def seconds(self) -> float:
        """Time in training, over all resumed parts."""
        return self.progress.seconds + time.perf_counter() - self._clock

    def _fraction(self) -> float:
        """How much of the run is over, by steps or by time."""
        limit = self._config.max_seconds
        timed = self.seconds() / limit if limit else 0.0
        return min(1.0, max(self.progress.step / self._config.steps, timed))

    def advance(self, batch: Batch, log: TrainingLog) -> None:
        """One gradient step, then whatever is due after it."""
        config, progress = self._config, self.progress
        rate = config.learning_rate_at(progress.step + 1, fraction=self._fraction())
        stream = step_generator(config.seed, _PERTURBATION, progress.step)
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
            self.save()

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
        progress = self.progress
        losses = self._trainer.validate(self._held_out)
        log.write("validation", progress.step, losses)
        progress.history.append(
            {
                "step": progress.step,
                "seconds": self.seconds(),
                "learning_rate": rate,
                "training": {n: v / progress.summed for n, v in progress.sums.items()},
                "validation": losses,
            }
        )
        progress.sums, progress.summed = {}, 0
        if progress.best_nll is None or losses["nll"] < progress.best_nll:
            progress.best_nll, progress.best_step = losses["nll"], progress.step
            progress.stale = 0
            self._best = self._trainer.snapshot()
        else:
            progress.stale += 1
        if progress.stopped is None and 0 < self._config.patience <= progress.stale:
            progress.stopped = "patience"

    def save(self) -> None:
        """Write a checkpoint, where there is a folder for it."""
        if self._path is None:
            return
        self._collect(0.0, None)
        best = {f"best/{name}": tensor for name, tensor in self._best.items()}
        state = {**asdict(self.progress), "seconds": self.seconds()}
        write_training_checkpoint(
            self._path,
            {**self._trainer.tensors(), **best},
            {"settings": self._settings, "progress": state},
        )

    def _resume(self) -> None:
        assert self._path is not None
        tensors, state = read_training_checkpoint(self._path)
        require_same_run(self._path, state["settings"], self._settings, free=_FREE)
        try:
            self._trainer.restore(tensors)
            self.progress = Progress(
                **{f.name: state["progress"][f.name] for f in fields(Progress)}
            )
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{self._path}: written by another version: {error}; start in another folder."
            ) from error
        self._best = {
            name.removeprefix("best/"): tensor.to(self._device)
            for name, tensor in tensors.items()
            if name.startswith("best/")
        }

    def finish(self) -> None:
        """Leave the best weights in the prior, frozen."""
        self._prior.load_state_dict(self._best)
        self._prior.requires_grad_(False).eval()


def _weights_digest(prior: FlowPrior) -> str:
    """SHA-256 of all weights and statistics."""
    digest = hashlib.sha256()
    for tensor in prior.state_dict().values():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"Expected a torch device such as 'cpu', got {name!r}."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidArgumentError(
            f"Device {name!r} was asked for, but torch sees no GPU; use device='cpu' or 'auto'."
        )
    return device
