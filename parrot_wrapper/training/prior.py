"""Fit a prior to data by maximum likelihood: validated, stoppable, resumable bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from parrot_wrapper.argument_checks import as_path, require_instance
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.torch_threads import torch_threads
from parrot_wrapper.training.data_facts import data_facts, warn_of_unread
from parrot_wrapper.training.fitting_run import Progress, run_folder_held
from parrot_wrapper.training.flow_config import flow_config
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_run import prior_run


@dataclass(frozen=True)
class PriorReport:
    """What came out of `fit_prior`.

    Attributes:
        prior: The prior that was fitted.
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

    prior: FlowPrior = field(repr=False, compare=False)
    steps: int
    best_step: int
    validation_nll: float
    validation_nll_per_dim: float
    training_nll: float
    seconds: float
    stopped: str
    history: tuple[Mapping[str, Any], ...] = field(repr=False)

    def __str__(self) -> str:
        """The likelihood of held-out episodes, and how long it took."""
        return (
            f"validation {self.validation_nll:.3f} nats ({self.validation_nll_per_dim:.3f} per "
            f"dimension) at step {self.best_step}; {self.steps} steps in {self.seconds:.0f} s, "
            f"stopped by {self.stopped}"
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields but the prior, JSON-able."""
        told = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del told["prior"]
        return {**told, "history": list(self.history)}

    @property
    def metrics(self) -> dict[str, Any]:
        """All but the prior and the history, JSON-able: what the prior's metadata keep."""
        return {name: value for name, value in self.to_dict().items() if name != "history"}


@own_surroundings()
def fit_prior(
    prior: FlowPrior | EpisodeDataset | None = None,
    dataset: EpisodeDataset | None = None,
    config: PriorTrainingConfig | None = None,
    *,
    run_folder: str | Path | None = None,
    fine_tune: bool = False,
    progress: bool = True,
) -> PriorReport:
    """Maximise the likelihood of the data's actions given its observations.

    `fit_prior(data).prior` is all that is needed to get a flow prior from a data set. A prior that
    is handed over is fitted in place.

    The loss is the mean negative log-likelihood plus the encoder's auxiliary losses. Kept are the
    averaged weights with the best likelihood on held-out episodes, less the penalty of
    `config.jacobian` where there is one. With a `run_folder` the run is checkpointed there and
    continues from its last checkpoint, with the same result, bit for bit (in float32 on one CPU
    thread), as an unbroken run.

    Args:
        prior: A prior, or nothing, or the data set alone, for a new one of `flow_config(dataset)`
            with the seed of `config`. Its action scale and its encoder's statistics are set from
            the data, unless `fine_tune`. Afterwards it is frozen and in eval mode.
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

    Warns:
        UnreadDataWarning: The data have observations at which the prior does not look.

    Example:
        >>> import numpy as np
        >>> data = EpisodeDataset.from_arrays(np.eye(8), np.full((6, 2), 0.1) * np.eye(6)[:, :2],
        ...                                   lengths=[3, 3])
        >>> config = PriorTrainingConfig(steps=2, batch_size=2, warmup_steps=1)
        >>> fit_prior(data, config=config, progress=False).steps
        2
    """
    settings = PriorTrainingConfig() if config is None else config
    require_instance("config", settings, PriorTrainingConfig, "a PriorTrainingConfig")
    if dataset is None and isinstance(prior, EpisodeDataset):
        prior, dataset = None, prior
    require_instance("dataset", dataset, EpisodeDataset, "an EpisodeDataset")
    assert dataset is not None
    if prior is None and not fine_tune:
        prior = FlowPrior(flow_config(dataset), seed=settings.seed)
    require_instance("prior", prior, FlowPrior, "a FlowPrior")
    assert isinstance(prior, FlowPrior)
    folder = None if run_folder is None else as_path("run_folder", run_folder)
    # the statistics are computed under the threads too
    with run_folder_held(folder), torch_threads(settings.threads):
        run = prior_run(prior, dataset, settings, folder, fine_tune=fine_tune)
        warn_of_unread(dataset, prior.observation_spec)
        run.run(label="prior", progress=progress)
    report = _report(run.progress, prior)
    facts = {**data_facts(dataset), "metrics": report.metrics, "training": settings.to_dict()}
    prior.set_metadata({**prior.metadata, **facts})
    return report


def _report(progress: Progress, prior: FlowPrior) -> PriorReport:
    assert progress.stopped is not None
    best = next(row for row in progress.history if row["step"] == progress.best_step)
    nll = best["validation"]["nll"]
    return PriorReport(
        prior=prior,
        steps=progress.step,
        best_step=progress.best_step,
        validation_nll=nll,
        validation_nll_per_dim=nll / prior.action_dim,
        training_nll=progress.history[-1]["training"]["nll"],
        seconds=progress.history[-1]["seconds"],
        stopped=progress.stopped,
        history=tuple(progress.history),
    )
