"""A Gaussian variational autoencoder of vectors, with or without a condition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_LOG_VARIANCE = (-10.0, 4.0)
"""Range of the posterior's log-variance."""


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


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL (B,) in nats of N(mean, exp(log_variance)) to N(0, I), from (B, Z) each.

    Example:
        >>> kl_to_standard_normal(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
        tensor([0.5000])
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(dim=1)


def _joined(values: Tensor, condition: Tensor | None) -> Tensor:
    return values if condition is None else torch.cat((values, condition), dim=1)


def _layers(inside: int, widths: Sequence[int], outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for left, right in pairwise((inside, *widths)):
        layers += [nn.Linear(left, right), nn.BatchNorm1d(right), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outside))
