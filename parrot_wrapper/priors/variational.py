"""A Gaussian variational autoencoder of vectors, with or without a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from parrot_wrapper.checks import require_positive, require_share
from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.trainable import Batch

_LOG_VARIANCE = (-10.0, 4.0)
"""Range of the posterior's log-variance."""
_STEEPNESS = 10.0
"""The weight of a KL begins at 1 / (1 + exp(10)) of its value."""
LAPTOP: Mapping[str, Any] = MappingProxyType(
    {"learning_rate": 1e-3, "ema_decay": 0.0, "patience": 0, "precision": "float32"}
)
"""What all on a laptop share."""


@dataclass(frozen=True)
class VariationalConfig(PriorConfig):
    """What the configs of variational autoencoders share.

    Attributes:
        encoder: As there; by default that of the paper.
        latent_dim: Z, length of the latent.
        widths: Widths of the posterior's hidden layers; the decoder has the same backwards.
        beta: Weight of the KL divergence (nats) against the mean squared error of an action
            dimension, in half-widths of the action box. Higher keeps less in the latent.
        anneal: In training that weight grows from 0 along a logistic curve that reaches half at
            this share of the run; the paper's is 25,000 of 500,000 steps.

    Raises:
        InvalidArgumentError: A value is outside its range; the message names the field.
    """

    encoder: str = "convolutional"
    latent_dim: int = 8
    widths: tuple[int, ...] = (512, 256, 128)
    beta: float = 1e-3
    anneal: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("latent_dim", self.latent_dim, 1)
        object.__setattr__(self, "widths", tuple(self.widths))
        require_at_least("the number of widths", len(self.widths), 1)
        for width in self.widths:
            require_at_least("every width", width, 1)
        require_positive("beta", self.beta)
        require_share("anneal", self.anneal)


class ActionBox(nn.Module):
    """Between env actions and their box as [-1, 1] in every dimension; nothing is clipped."""

    _middle: Tensor
    half_width: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        low, high = torch.tensor(config.action_low), torch.tensor(config.action_high)
        # Halved first: the box may be nearly as wide as float32 reaches.
        self.register_buffer("_middle", low / 2 + high / 2, persistent=False)
        self.register_buffer("half_width", high / 2 - low / 2, persistent=False)

    def scale(self, action: Tensor) -> Tensor:
        """Env actions (..., A) to box units."""
        return (action - self._middle) / self.half_width

    def unscale(self, scaled: Tensor) -> Tensor:
        """The inverse of `scale`."""
        return scaled * self.half_width + self._middle


class VariationalNet(nn.Module):
    """Posterior q(z|x, c) and decoder x = g(z, c), both fully connected (Kingma and Welling 2014).

    Every hidden layer is followed by batch normalisation and a rectifier, as in Ghadirzadeh et al.
    (2020), whose network the paper's TrajRL and HIRL baselines take over (PARROT, appendix B).
    Letters: B batch, D data dim, C condition dim, Z latent dim.

    Args:
        data_dim: D.
        condition_dim: C, 0 for no condition.
        latent_dim: Z.
        widths: Hidden widths of the posterior; the decoder has the same backwards.
    """

    def __init__(
        self, data_dim: int, *, condition_dim: int, latent_dim: int, widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.posterior_net = _layers(data_dim + condition_dim, widths, 2 * latent_dim)
        self.decoder_net = _layers(latent_dim + condition_dim, widths[::-1], data_dim)

    def posterior(self, data: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, Z) each, of the latent of data (B, D) given (B, C)."""
        mean, log_variance = self.posterior_net(_joined(data, condition)).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def decode(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Data (B, D) of latents (B, Z) given (B, C)."""
        data: Tensor = self.decoder_net(_joined(latent, condition))
        return data

    def terms(self, data: Tensor, condition: Tensor | None, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of the reconstruction and KL to the base noise, for each row.

        Args:
            data: (B, D).
            condition: (B, C).
            noise: (B, Z), standard normal: which sample of the posterior is decoded.

        Returns:
            Error (B,), averaged over D, and KL (B,) in nats.
        """
        mean, log_variance = self.posterior(data, condition)
        latent = mean + (0.5 * log_variance).exp() * noise
        error = (self.decode(latent, condition) - data).square().mean(dim=1)
        return error, kl_to_standard_normal(mean, log_variance)


class VariationalPrior(EncoderPrior):
    """Base of priors that are variational autoencoders of actions in box units."""

    config: VariationalConfig

    def _add_autoencoder(self, data_dim: int, *, condition_dim: int) -> None:
        self.box = ActionBox(self.config)
        self.net = VariationalNet(
            data_dim,
            condition_dim=condition_dim,
            latent_dim=self.config.latent_dim,
            widths=self.config.widths,
        )

    @property
    def latent_dim(self) -> int:
        """Z, the length of the latent."""
        return self.config.latent_dim

    def _losses(
        self, scaled: Tensor, condition: Tensor | None, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Mean squared error in half-widths of the box, and the annealed KL."""
        shape = (len(scaled), self.latent_dim)
        noise = torch.randn(shape, generator=generator, device=scaled.device)
        error, kl = self.net.terms(scaled, condition, noise)
        weight = annealed(self.config.beta, self.config.anneal, batch)
        return {"reconstruction": error.mean(), "kl": weight * kl.mean()}


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL (B,) in nats of N(mean, exp(log_variance)) to N(0, I), from (B, Z) each.

    Example:
        >>> kl_to_standard_normal(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
        tensor([0.5000])
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(dim=1)


def annealed(beta: float, anneal: float, batch: Batch) -> Tensor:
    """What is left of a KL's weight at a batch's "progress"; all of it soon after `anneal`.

    Example:
        >>> annealed(0.5, 0.1, {"progress": torch.tensor(0.1)})
        tensor(0.2500)
    """
    return beta * torch.sigmoid(_STEEPNESS * (batch["progress"] / anneal - 1.0))


def _joined(values: Tensor, condition: Tensor | None) -> Tensor:
    return values if condition is None else torch.cat((values, condition), dim=1)


def _layers(inside: int, widths: Sequence[int], outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for left, right in pairwise((inside, *widths)):
        layers += [nn.Linear(left, right), nn.BatchNorm1d(right), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outside))
