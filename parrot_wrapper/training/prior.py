"""Fit a prior to data by maximum likelihood: validated, stoppable, resumable bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parrot_wrapper.argument_checks import require_instance
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.torch_threads import torch_threads
from parrot_wrapper.training.data_facts import keys_fact
from parrot_wrapper.training.fitting_run import Progress, run_folder_held
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_run import prior_run


@dataclass(frozen=True)
class PriorReport:
    """What came out of `fit_prior`.

    Attributes:
        steps: Gradient steps made, over all resumed parts.
        best_step: The step whose weights were kept.
        validation_nll: Negative log-likelihood of held-out episodes at that step, nats.
        validation_nll_per_dim: The same per action dimension.
        training_nll: Mean over the training batches before the last validation, nats.
        seconds: Time in training, over all resumed parts.
        stopped: Why it ended: "steps", "patience" or "time".
        history: One row for each validation: "step", "seconds", "learning_rate", "training" and
            "validation" (losses by name).
    """

    steps: int
    best_step: int
    validation_nll: float
    validation_nll_per_dim: float
    training_nll: float
    seconds: float
    stopped: str
    history: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {**asdict(self), "history": list(self.history)}


def fit_prior(
    prior: FlowPrior,
    dataset: EpisodeDataset,
    config: PriorTrainingConfig | None = None,
    *,
    run_folder: str | Path | None = None,
    fine_tune: bool = False,
    progress: bool = True,
) -> PriorReport:
    """Maximise the likelihood of the data's actions given its observations, in place.

    The loss is the mean negative log-likelihood plus the encoder's auxiliary losses. Kept are the
    averaged weights with the best likelihood on held-out episodes, less the penalty of
    `config.jacobian` where there is one. With a `run_folder` the run is checkpointed there and
    continues from its last checkpoint, with the same result, bit for bit (in float32 on one CPU
    thread), as an unbroken run.

    Args:
        prior: The prior; its action scale and its encoder's statistics are set from the data,
            unless `fine_tune`. Afterwards it is frozen and in eval mode.
        dataset: Successful episodes, two or more. Where they say which keys of the env they were
            read from, the prior's metadata say so afterwards too.
        config: Settings; None for the defaults.
        run_folder: For checkpoints and tensorboard; None for neither.
        fine_tune: Go on from what `prior` has learned before. A resumed call needs that prior.
        progress: Show a progress bar.

    Raises:
        DataError: The data do not fit the prior, are too few to hold any out, or make it diverge.
        CheckpointError: The run folder's checkpoint is damaged or of other settings or data.
        DataFileError: Another process is at work in the run folder.
        WriteError: The disk is full, or the folder cannot be written to; with room, the same call
            goes on from the last checkpoint.
        InvalidArgumentError: An argument is of another type.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first.
    """
    settings = PriorTrainingConfig() if config is None else config
    require_instance("prior", prior, FlowPrior, "a FlowPrior")
    require_instance("dataset", dataset, EpisodeDataset, "an EpisodeDataset")
    require_instance("config", settings, PriorTrainingConfig, "a PriorTrainingConfig")
    folder = None if run_folder is None else Path(run_folder)
    # the statistics are computed under the threads too
    with run_folder_held(folder), torch_threads(settings.threads):
        run = prior_run(prior, dataset, settings, folder, fine_tune=fine_tune)
        run.run(label="prior", progress=progress)
    prior.set_metadata({**prior.metadata, **keys_fact(dataset)})
    return _report(run.progress, prior.action_dim)


def _report(progress: Progress, action_dim: int) -> PriorReport:
    assert progress.stopped is not None
    best = next(row for row in progress.history if row["step"] == progress.best_step)
    nll = best["validation"]["nll"]
    return PriorReport(
        steps=progress.step,
        best_step=progress.best_step,
        validation_nll=nll,
        validation_nll_per_dim=nll / action_dim,
        training_nll=progress.history[-1]["training"]["nll"],
        seconds=progress.history[-1]["seconds"],
        stopped=progress.stopped,
        history=tuple(progress.history),
    )
