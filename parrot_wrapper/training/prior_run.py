"""A run of `fit_prior`: its data, its prior's statistics, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.training.fitting_run import (
    SPLIT,
    STATISTICS,
    VALIDATION,
    FittingRun,
    has_checkpoint,
    training_device,
    weights_digest,
)
from parrot_wrapper.training.module_trainer import Batch, use_bfloat16
from parrot_wrapper.training.prior_batches import batch_maker, step_generator
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_trainer import PriorTrainer

_STATISTICS_SIZE = 4096


def prior_run(
    prior: FlowPrior,
    dataset: EpisodeDataset,
    config: PriorTrainingConfig,
    folder: Path | None,
    *,
    fine_tune: bool = False,
) -> FittingRun[FlowPrior]:
    """A run of `fit_prior`, begun or continued; see there."""
    if dataset.n_episodes < 2:
        raise DataError(
            f"Expected two or more episodes, one to hold out, got {dataset.n_episodes}."
        )
    device = training_device(config.device)
    prior.to(device)
    settings = {
        "prior": prior.config.to_dict(),
        "training": config.to_dict(),
        "data": {"sha256": dataset.content_hash},
        "initial": weights_digest(prior) if fine_tune else None,
    }
    training, held_out = dataset.split(
        config.validation_fraction, step_generator(config.seed, SPLIT)
    )
    kind, size, spread = prior.config, config.batch_size, config.edge_spread
    make = batch_maker(training, kind, batch_size=size, edge_spread=spread)
    make_held_out = batch_maker(held_out, kind, batch_size=size, edge_spread=spread)
    validation = [
        make_held_out(step_generator(config.seed, VALIDATION, index))
        for index in range(config.validation_batches)
    ]
    if not has_checkpoint(folder) and not fine_tune:
        sample = batch_maker(training, kind, batch_size=_STATISTICS_SIZE, edge_spread=spread)
        _set_statistics(prior, sample(step_generator(config.seed, STATISTICS)), device)
    trainer = PriorTrainer(
        prior,
        bfloat16=use_bfloat16(config.precision, device),
        ema_decay=config.ema_decay,
        gradient_clip=config.gradient_clip,
        jacobian=config.jacobian,
    )
    return FittingRun(
        trainer,
        config,
        make_batch=make,
        held_out=validation,
        judge=_without_auxiliary,
        folder=folder,
        settings=settings,
    )


def _without_auxiliary(losses: Mapping[str, float]) -> float:
    """What the flow is fitted for: likelihood, and the penalty where it has one."""
    return losses["nll"] + losses.get("jacobian", 0.0)


def _set_statistics(prior: FlowPrior, sample: Batch, device: torch.device) -> None:
    sample = {key: value.to(device) for key, value in sample.items()}
    prior.fit_action_scale(sample["action"])
    prior.encoder.initialise(sample)
