"""Fit any module to batches that are drawn by step number: validated, stoppable, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.torch_threads import torch_threads
from parrot_wrapper.training.fitting_run import (
    VALIDATION,
    FittingRun,
    run_folder_held,
    training_device,
    weights_digest,
)
from parrot_wrapper.training.module_trainer import Batch, ModuleT, ModuleTrainer, use_bfloat16
from parrot_wrapper.training.prior_batches import step_generator

BatchMaker = Callable[[np.random.Generator], dict[str, Tensor]]
"""From a generator to a batch of CPU tensors; all that is random in a step is drawn here."""
Loss = Callable[[ModuleT, dict[str, Tensor], int], dict[str, Tensor]]
"""From module, batch and step number to scalars by name; their sum is minimised."""


@dataclass(frozen=True)
class FittingReport:
    """What came out of `fit_module`.

    Attributes:
        steps: Gradient steps made, over all resumed parts.
        best_step: The step whose weights were kept.
        validation: Losses of held-out batches at that step, by name, with the last step's weights
            of the KL.
        seconds: Time in training, over all resumed parts.
        stopped: Why it ended: "steps", "patience" or "time".
        history: One row for each validation: "step", "seconds", "learning_rate", "training" and
            "validation" (losses by name).
    """

    steps: int
    best_step: int
    validation: Mapping[str, float]
    seconds: float
    stopped: str
    history: tuple[Mapping[str, Any], ...]

    @property
    def loss(self) -> float:
        """Sum of the validation losses: what the kept weights are best in."""
        return sum(self.validation.values())

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {**asdict(self), "history": list(self.history)}


def run_settings(
    method: str, dataset: EpisodeDataset, module: nn.Module, **configs: Mapping[str, Any]
) -> dict[str, Any]:
    """What a run of `method` must have in common with the checkpoint that it goes on from."""
    return {
        "method": method,
        "data": {"sha256": dataset.content_hash},
        **configs,
        "initial": weights_digest(module),
    }


@own_surroundings()
def fit_module(
    module: ModuleT,
    make_batch: BatchMaker,
    loss: Loss[ModuleT],
    config: FittingConfig,
    run_folder: str | Path | None = None,
    *,
    settings: Mapping[str, Any],
    make_held_out: BatchMaker | None = None,
    label: str = "fit",
    progress: bool = True,
) -> FittingReport:
    """Minimise a loss with Adam, in place; the best weights on held-out batches are kept.

    The learning rate warms up and then follows a cosine. Validation takes the loss of the run's
    last step, so that annealing does not favour early weights. With a `run_folder` the run is
    checkpointed there and continues from its last checkpoint as an unbroken run would.

    Args:
        module: What is fitted; afterwards it is frozen and in eval mode. Parameters that the loss
            does not reach keep their values.
        make_batch: Called from threads.
        loss: Gets tensors on the module's device.
        config: Settings of the loop; those of how data are drawn are the caller's.
        run_folder: For checkpoints and tensorboard; None for neither.
        settings: JSON-able; what decides the result beside `config`: data, sizes, first weights.
            Only a run with equal ones is continued.
        make_held_out: Batches for validation; None for other draws of `make_batch`.
        label: Text before the progress bar.
        progress: Show the bar.

    Raises:
        DataError: A loss is not finite.
        CheckpointError: The run folder's checkpoint is damaged or of another run.
        DataFileError: Another process is at work in the run folder.
        WriteError: The disk is full, or the folder cannot be written to.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first.

    Example:
        >>> line = torch.nn.Linear(1, 1)
        >>> def make_batch(rng):
        ...     x = torch.from_numpy(rng.uniform(-1, 1, (64, 1)).astype("float32"))
        ...     return {"x": x, "y": 3 * x - 1}
        >>> def loss(module, batch, step):
        ...     return {"error": (module(batch["x"]) - batch["y"]).square().mean()}
        >>> config = FittingConfig(steps=300, learning_rate=0.1, warmup_steps=0, device="cpu")
        >>> report = fit_module(line, make_batch, loss, config, settings={}, progress=False)
        >>> round(line.weight.item(), 2), round(line.bias.item(), 2)
        (3.0, -1.0)
    """
    device = training_device(config.device)
    draw = make_held_out or make_batch
    validation = [
        draw(step_generator(config.seed, VALIDATION, index))
        for index in range(config.validation_batches)
    ]
    folder = None if run_folder is None else as_path("run_folder", run_folder)
    with run_folder_held(folder), torch_threads(config.threads):
        trainer = _LossTrainer(module.to(device), loss, config, device)
        run = FittingRun(
            trainer,
            config,
            make_batch=make_batch,
            held_out=validation,
            judge=_total,
            folder=folder,
            settings={**settings, "training": config.to_dict()},
        )
        run.run(label=label, progress=progress)
    return _report(run)


class _LossTrainer(ModuleTrainer[ModuleT]):
    """A trainer whose loss is a function."""

    def __init__(
        self, module: ModuleT, loss: Loss[ModuleT], config: FittingConfig, device: torch.device
    ) -> None:
        super().__init__(
            module,
            device=device,
            ema_decay=config.ema_decay,
            gradient_clip=config.gradient_clip,
        )
        self._loss, self._last = loss, config.steps
        self._bfloat16 = use_bfloat16(config.precision, device)

    def losses(
        self, module: ModuleT, batch: Batch, *, step: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            found = self._loss(module, dict(batch), self._last if step is None else step)
        return {name: value.float() for name, value in found.items()}


def _total(losses: Mapping[str, float]) -> float:
    return sum(losses.values())


def _report(run: FittingRun[ModuleT]) -> FittingReport:
    progress = run.progress
    assert progress.stopped is not None
    best = next(row for row in progress.history if row["step"] == progress.best_step)
    return FittingReport(
        steps=progress.step,
        best_step=progress.best_step,
        validation=best["validation"],
        seconds=progress.history[-1]["seconds"],
        stopped=progress.stopped,
        history=tuple(progress.history),
    )
