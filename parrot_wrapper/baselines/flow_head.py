"""A flow on the features of another prior: PARROT itself, for comparisons that share an encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from parrot_wrapper.baselines.batches import noisy_pairs, split_episodes
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.feature_cache import FEATURES_KEY
from parrot_wrapper.baselines.fitting import BatchMaker, FittingReport, fit_module, run_settings
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.training.jacobian_penalty import squared_jacobian


@own_surroundings()
def fit_flow_head(
    prior: FlowPrior,
    dataset: EpisodeDataset,
    config: FittingConfig,
    *,
    run_folder: str | Path | None = None,
    progress: bool = True,
) -> FittingReport:
    """Fit the flow, and how it conditions on features, by maximum likelihood.

    `config.jacobian` weighs the penalty beside it, in validation too.

    The encoder's features stay as they are, so that priors of different data share what they see
    and differ in what they do. `fit_prior` fits both.

    Args:
        prior: Fitted in place.
        dataset: Successful episodes from a `FeatureCache`.
        config: Settings.
        run_folder: For checkpoints and tensorboard; None for neither.
        progress: Show a progress bar.

    Raises:
        DataError: The data hold no features, do not fit the prior, or are too few.
        CheckpointError: The run folder's checkpoint is damaged or of another run.
    """
    if FEATURES_KEY not in dataset.observations:
        raise DataError(
            "Expected features of a shared encoder, got observations; fit_prior learns from those."
        )
    training, held_out = split_episodes(dataset, config)
    prior.fit_action_scale(torch.from_numpy(training.actions))

    def loss(module: FlowPrior, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        context = module.encoder.context(batch[FEATURES_KEY])
        losses = {"nll": -module.log_prob_tensor(batch["action"], context).mean()}
        if config.jacobian:
            penalty = squared_jacobian(module, context, batch["noise"])
            losses["jacobian"] = config.jacobian * penalty
        return losses

    def pairs(episodes: EpisodeDataset, *, perturbed: bool) -> BatchMaker:
        encoder = prior.encoder if perturbed else None
        noise_dim = 2 * prior.latent_dim if config.jacobian else 0
        return noisy_pairs(episodes, config, noise_dim=noise_dim, encoder=encoder)

    return fit_module(
        prior,
        pairs(training, perturbed=True),
        loss,
        config,
        run_folder,
        settings=run_settings("flow", dataset, prior, prior=prior.config.to_dict()),
        make_held_out=pairs(held_out, perturbed=False),
        label="flow",
        progress=progress,
    )
