"""HIRL: fit the conditional VAE over single actions."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from parrot_wrapper.baselines.batches import noisy_pairs, prepare_encoder, split_episodes
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.feature_cache import FEATURES_KEY
from parrot_wrapper.baselines.fitting import BatchMaker, FittingReport, fit_module, run_settings
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.cvae import CVAEPrior
from parrot_wrapper.priors.surroundings import own_surroundings


@own_surroundings()
def fit_hirl(
    prior: CVAEPrior,
    dataset: EpisodeDataset,
    config: FittingConfig,
    *,
    run_folder: str | Path | None = None,
    progress: bool = True,
) -> FittingReport:
    """Fit a CVAE: mean squared error plus an annealed weight times the KL (PARROT, appendix B).

    With features in place of observations the encoder stays as it is, all but what it makes of
    features for those who condition on them (`Encoder.context`), which is fitted, as it is for a
    flow. With images all of the encoder is fitted jointly.

    Args:
        prior: Fitted in place.
        dataset: Successful episodes, from a `FeatureCache` or as loaded.
        config: Settings.
        run_folder: For checkpoints and tensorboard; None for neither.
        progress: Show a progress bar.

    Raises:
        DataError: The data do not fit the prior, or are too few.
        CheckpointError: The run folder's checkpoint is damaged or of another run.
    """
    training, held_out = split_episodes(dataset, config)
    if FEATURES_KEY not in dataset.observations:
        prepare_encoder(prior.encoder, training, prior.config, config)

    def loss(module: CVAEPrior, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        auxiliary: dict[str, Tensor] = {}
        features = batch.get(FEATURES_KEY)
        if features is None:
            features, maps = module.encoder.training_features(batch)
            features = features.float()
            maps = {k: v.float() if v.is_floating_point() else v for k, v in maps.items()}
            auxiliary = module.encoder.auxiliary_losses(maps, batch)
        error, kl = module.terms(batch["action"], features, batch["noise"])
        weight = config.annealed(module.config.beta, step=step)
        return {"reconstruction": error.mean(), "kl": weight * kl.mean(), **auxiliary}

    def pairs(episodes: EpisodeDataset, *, perturbed: bool) -> BatchMaker:
        encoder = prior.encoder if perturbed else None
        return noisy_pairs(episodes, config, noise_dim=prior.latent_dim, encoder=encoder)

    return fit_module(
        prior,
        pairs(training, perturbed=True),
        loss,
        config,
        run_folder,
        settings=run_settings("hirl", dataset, prior, prior=prior.config.to_dict()),
        make_held_out=pairs(held_out, perturbed=False),
        label="hirl",
        progress=progress,
    )
