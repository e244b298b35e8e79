"""Behavioural cloning of SB3 SAC's actor, for RL to start from."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from parrot_wrapper.baselines.batches import noisy_pairs, split_episodes
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.feature_cache import FEATURES_KEY
from parrot_wrapper.baselines.fitting import BatchMaker, FittingReport, fit_module, run_settings
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors.encoders import Encoder
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.training.cloned_actor import ClonedActor
from parrot_wrapper.training.data_facts import warn_of_unread
from parrot_wrapper.types import ObservationSpec

EDGE = 0.99
"""Actions are clipped to this share of their box: tanh reaches its edges at infinity only."""


@own_surroundings()
def fit_cloned_actor(
    cloned: ClonedActor,
    dataset: EpisodeDataset,
    config: FittingConfig,
    *,
    encoder: Encoder | None = None,
    run_folder: str | Path | None = None,
    progress: bool = True,
) -> FittingReport:
    """Maximise the likelihood of the data's actions plus an entropy bonus (PARROT, appendix B).

    Losses are "nll", the negative log-likelihood in nats of actions in units of their box, and
    "entropy", minus the bonus. Actions are clipped to 0.99 of their box first, and not spread
    beyond it: `config.edge_spread` is not used.

    Args:
        cloned: Fitted in place.
        dataset: Successful episodes, from a `FeatureCache` for an actor that sees features.
        config: Settings.
        encoder: Perturbs features as it does in the training of a flow; None leaves them.
        run_folder: For checkpoints and tensorboard; None for neither.
        progress: Show a progress bar.

    Raises:
        DataError: The data do not have what the actor sees, or are too few.
        CheckpointError: The run folder's checkpoint is damaged or of another run.
    """
    key = "image" if cloned.config.image is not None else FEATURES_KEY
    _check(cloned, dataset, key)
    if cloned.config.image is not None:
        warn_of_unread(dataset, ObservationSpec(image=cloned.config.image))
    training, held_out = split_episodes(dataset, config)

    def pairs(episodes: EpisodeDataset, noise: Encoder | None) -> BatchMaker:
        dimensions = len(cloned.config.action_low)
        return noisy_pairs(episodes, config, noise_dim=dimensions, encoder=noise)

    def loss(module: ClonedActor, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        mean, log_std = (part.float() for part in module.gaussian(batch[key]))
        action = module.scaled(batch["action"]).clamp(-EDGE, EDGE)
        sample = mean + log_std.exp() * batch["noise"]
        log_prob = tanh_gaussian_log_prob(action.atanh(), mean, log_std)
        log_prob_of_sample = tanh_gaussian_log_prob(sample, mean, log_std)
        return {
            "nll": -log_prob.mean(),
            "entropy": config.entropy * log_prob_of_sample.mean(),
        }

    return fit_module(
        cloned,
        pairs(training, encoder),
        loss,
        config,
        run_folder,
        settings=run_settings("bc", dataset, cloned, actor=cloned.config.to_dict()),
        make_held_out=pairs(held_out, None),
        label="bc",
        progress=progress,
    )


def tanh_gaussian_log_prob(before: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density (B,) in nats of tanh(before) where `before` is Gaussian; (B, A) each.

    Example:
        >>> zero = torch.zeros(1, 1)
        >>> round(tanh_gaussian_log_prob(zero, zero, zero).item(), 4)  # -log(sqrt(2 pi))
        -0.9189
    """
    gaussian = -0.5 * (((before - mean) / log_std.exp()).square() + math.log(2.0 * math.pi))
    # log(1 - tanh(x)^2), without the cancellation
    slope = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    return (gaussian - log_std - slope).sum(dim=1)


def _check(cloned: ClonedActor, dataset: EpisodeDataset, key: str) -> None:
    config = cloned.config
    wanted = (config.features_dim,) if config.image is None else config.image
    found = dataset.observations[key].shape[1:] if key in dataset.observations else None
    problems = []
    if found != wanted:
        problems.append(f"{key}: the actor expects {wanted}, the data have {found}")
    box = [edge.tolist() for edge in dataset.action_bounds]
    expected = torch.tensor([config.action_low, config.action_high]).tolist()
    if box != expected:
        problems.append(f"action box (low, high): the actor expects {expected}, the data {box}")
    if problems:
        raise DataError("Data and actor disagree. " + "; ".join(problems) + ".")
