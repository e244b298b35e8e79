"""VAE-features: fit the beta-VAE over images."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from parrot_wrapper.baselines.batches import noisy_pairs, prepare_encoder, split_episodes
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.fitting import FittingReport, fit_module, run_settings
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.priors.vae_features import VAEFeatures


@own_surroundings()
def fit_vae_features(
    prior: VAEFeatures,
    dataset: EpisodeDataset,
    config: FittingConfig,
    *,
    run_folder: str | Path | None = None,
    progress: bool = True,
) -> FittingReport:
    """Fit a beta-VAE to the data's images.

    Vectors beside the images are no part of what it reconstructs; their standardised values join
    the features.

    Losses are half the squared error of an image and the annealed weight times the KL, in nats.

    Args:
        prior: Fitted in place.
        dataset: Episodes with images.
        config: Settings.
        run_folder: For checkpoints and tensorboard; None for neither.
        progress: Show a progress bar.

    Raises:
        DataError: The data do not fit the prior, or are too few.
        CheckpointError: The run folder's checkpoint is damaged or of another run.
    """
    training, held_out = split_episodes(dataset, config)
    prepare_encoder(prior.encoder, training, prior.config, config)
    embedding = prior.encoder.embedding

    def loss(module: VAEFeatures, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        error, kl = module.terms(batch["image"], batch["noise"])
        weight = config.annealed(module.config.beta, step=step)
        return {"reconstruction": error.mean(), "kl": weight * kl.mean()}

    return fit_module(
        prior,
        noisy_pairs(training, config, noise_dim=embedding, encoder=None),
        loss,
        config,
        run_folder,
        settings=run_settings("vae-features", dataset, prior, prior=prior.config.to_dict()),
        make_held_out=noisy_pairs(held_out, config, noise_dim=embedding, encoder=None),
        label="vae-features",
        progress=progress,
    )
