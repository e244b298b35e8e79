"""TrajRL: fit the VAE over whole episodes' actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from parrot_wrapper.baselines.batches import split_episodes, standard_normal
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.fitting import BatchMaker, FittingReport, fit_module, run_settings
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.priors.trajectory import TrajectoryVAEPrior
from parrot_wrapper.types import FloatArray


def whole_episodes(dataset: EpisodeDataset, horizon: int) -> EpisodeDataset:
    """The episodes of at least `horizon` steps.

    Shorter ones are dropped and not padded: they began where the arm had gone astray, or were cut,
    and what was done there is no beginning of an episode.

    Raises:
        DataError: Fewer than two episodes are long enough.
    """
    chosen = np.flatnonzero(dataset.lengths >= horizon)
    if len(chosen) < 2:
        raise DataError(
            f"Expected two or more episodes of at least {horizon} steps, the horizon, got "
            f"{len(chosen)}; the longest has {dataset.lengths.max()}."
        )
    return dataset.subset(chosen)


def action_sequences(dataset: EpisodeDataset, horizon: int) -> FloatArray:
    """The first `horizon` actions of every episode, none of which is shorter: (E, H, A)."""
    actions: FloatArray = dataset.actions[dataset.step_offsets[:, None] + np.arange(horizon)]
    return actions


@own_surroundings()
def fit_trajrl(
    prior: TrajectoryVAEPrior,
    dataset: EpisodeDataset,
    config: FittingConfig,
    *,
    run_folder: str | Path | None = None,
    progress: bool = True,
) -> FittingReport:
    """Fit a VAE to action sequences: mean squared error plus an annealed weight times the KL.

    Episodes shorter than the prior's horizon are dropped (see `whole_episodes`). The encoder that
    the prior carries for its agent stays as it is.

    Args:
        prior: Fitted in place.
        dataset: Successful episodes; `load_dataset(folder, actions_only=True)` will do.
        config: Settings; `edge_spread` is not used, as clipped actions are what is reconstructed.
        run_folder: For checkpoints and tensorboard; None for neither.
        progress: Show a progress bar.

    Raises:
        DataError: Too few episodes are long enough.
        CheckpointError: The run folder's checkpoint is damaged or of another run.
    """
    training, held_out = split_episodes(whole_episodes(dataset, prior.horizon), config)

    def sequences(episodes: EpisodeDataset) -> BatchMaker:
        actions = torch.from_numpy(action_sequences(episodes, prior.horizon))

        def make(rng: np.random.Generator) -> dict[str, Tensor]:
            rows = torch.from_numpy(rng.integers(len(actions), size=config.batch_size))
            noise = standard_normal(rng, config.batch_size, prior.latent_dim)
            return {"action": actions[rows], "noise": noise}

        return make

    def loss(module: TrajectoryVAEPrior, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        error, kl = module.terms(batch["action"], batch["noise"])
        weight = config.annealed(module.config.beta, step=step)
        return {"reconstruction": error.mean(), "kl": weight * kl.mean()}

    return fit_module(
        prior,
        sequences(training),
        loss,
        config,
        run_folder,
        settings=run_settings("trajrl", dataset, prior, prior=prior.config.to_dict()),
        make_held_out=sequences(held_out),
        label="trajrl",
        progress=progress,
    )
