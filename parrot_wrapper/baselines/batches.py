"""How baselines draw batches: what a step needs that is random is drawn here, by step number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.feature_cache import FEATURES_KEY
from parrot_wrapper.baselines.fitting import BatchMaker
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.encoders import Encoder
from parrot_wrapper.training.data_facts import warn_of_unread
from parrot_wrapper.training.fitting_run import SPLIT, STATISTICS
from parrot_wrapper.training.prior_batches import check_source, pair_maker, step_generator

_STATISTICS_SIZE = 4096


def split_episodes(
    dataset: EpisodeDataset, config: FittingConfig
) -> tuple[EpisodeDataset, EpisodeDataset]:
    """Training and held-out episodes, the same for all methods with one seed.

    Raises:
        DataError: Fewer than two episodes.
    """
    if dataset.n_episodes < 2:
        raise DataError(
            f"Expected two or more episodes, one to hold out, got {dataset.n_episodes}."
        )
    return dataset.split(config.validation_fraction, step_generator(config.seed, SPLIT))


def noisy_pairs(
    dataset: EpisodeDataset, config: FittingConfig, *, noise_dim: int, encoder: Encoder | None
) -> BatchMaker:
    """Batches of single steps: observations, "action" and "noise" (B, noise_dim).

    Args:
        dataset: With features or with observations.
        config: Says batch size and what becomes of actions on the edge of their box.
        noise_dim: How many standard normal numbers each row needs.
        encoder: Perturbs "features" as it does in the training of a flow; None leaves them.
    """
    make = pair_maker(dataset, batch_size=config.batch_size, edge_spread=config.edge_spread)

    def noisy(rng: np.random.Generator) -> dict[str, Tensor]:
        batch = make(rng)
        batch["noise"] = standard_normal(rng, config.batch_size, noise_dim)
        if encoder is not None and FEATURES_KEY in batch:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            with torch.no_grad():
                batch[FEATURES_KEY] = encoder.perturb(batch[FEATURES_KEY], generator)
        return batch

    return noisy


def standard_normal(rng: np.random.Generator, rows: int, columns: int) -> Tensor:
    """Standard normal numbers (rows, columns) float32."""
    return torch.from_numpy(rng.standard_normal((rows, columns), dtype=np.float32))


def prepare_encoder(
    encoder: Encoder, dataset: EpisodeDataset, prior: PriorConfig, config: FittingConfig
) -> None:
    """Compare data with observations to a prior, and set its encoder's statistics from them.

    Raises:
        DataError: They disagree; every disagreement is named.
    """
    check_source(dataset, prior)
    warn_of_unread(dataset, prior.observation)
    make = pair_maker(dataset, batch_size=_STATISTICS_SIZE, edge_spread=0.0)
    encoder.initialise(make(step_generator(config.seed, STATISTICS)))
