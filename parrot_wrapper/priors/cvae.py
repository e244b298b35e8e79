"""HIRL's prior: a conditional variational autoencoder over single actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.trainable import PAPER, Batch
from parrot_wrapper.priors.variational import (
    LAPTOP,
    VariationalConfig,
    VariationalPrior,
)

_SAMPLES = 64
"""Posterior samples behind one value of `log_prob`."""
_LOG_TAU = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class CVAEPriorConfig(VariationalConfig):
    """Shapes and sizes of a `CVAEPrior`; the defaults are the paper's (appendix B).

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = CVAEPriorConfig(ObservationSpec(state=4), action_dim=2, encoder="state")
        >>> CVAEPriorConfig.from_dict(config.to_dict()) == config
        True
    """


class CVAEPrior(VariationalPrior):
    """Conditional VAE over one action: the paper's HIRL baseline (after Shankar and Gupta 2020).

    Implements `parrot_wrapper.types.ActionPrior`. Unlike a flow it is no bijection: `decode` is a
    function of z and the observation, but `encode` only gives the posterior's mean, whose decoding
    is near the action and not it, and `log_prob` is a lower bound (importance-weighted with 64
    samples, Burda et al. 2016; the same at every call) of the density of decoded actions *plus* the
    Gaussian noise that the loss implies, of standard deviation sqrt(beta A / 2) half-widths of the
    box. Samples are decoded without that noise.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights.

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> import numpy as np
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = CVAEPriorConfig(ObservationSpec(state=4), action_dim=2, encoder="state")
        >>> prior = CVAEPrior(config)
        >>> state, z = np.zeros((3, 4), np.float32), np.ones((3, 8), np.float32)
        >>> action = prior.decode(z, state)
        >>> action.shape, prior.encode(action, state).shape
        ((3, 2), (3, 8))
    """

    type_tag: ClassVar[str] = "cvae"
    recipes: ClassVar = MappingProxyType({"laptop": LAPTOP, "paper": PAPER})
    config_class: ClassVar[type[PriorConfig]] = CVAEPriorConfig
    config: CVAEPriorConfig

    def _add_layers(self) -> None:
        self._add_autoencoder(self.action_dim, condition_dim=self.encoder.context_dim)

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error in half-widths of the box, the annealed KL, and the encoder's.

        On features in place of observations the encoder stays as it is, all but what it makes of
        features for those who condition on them (`Encoder.context`), as for a flow.
        """
        features, maps = self._seen(batch, generator)
        scaled = self.box.scale(batch["action"])
        losses = self._losses(scaled, self.encoder.context(features), batch, generator)
        return {**losses, **self._auxiliary(maps, batch, generator)}

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        return self.box.unscale(self.net.decode(z, self.encoder.context(features)))

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        mean, _ = self.net.posterior(self.box.scale(action), self.encoder.context(features))
        return mean

    def _log_prob(self, action: Tensor, features: Tensor) -> Tensor:
        scaled, context = self.box.scale(action), self.encoder.context(features)
        mean, log_variance = self.net.posterior(scaled, context)
        variance = self.config.beta * self.action_dim / 2.0
        generator = torch.Generator().manual_seed(0)
        weights = []
        for _ in range(_SAMPLES):
            noise = torch.randn(mean.shape, generator=generator).to(mean)
            latent = mean + (0.5 * log_variance).exp() * noise
            error = (self.net.decode(latent, context) - scaled).square().sum(dim=1)
            likelihood = -0.5 * (error / variance + self.action_dim * math.log(variance))
            # log N(z; 0, I) - log q(z|a, s); the constants of both cancel
            ratio = 0.5 * (noise.square() + log_variance - latent.square()).sum(dim=1)
            weights.append(likelihood + ratio)
        bound = torch.stack(weights).logsumexp(dim=0) - math.log(_SAMPLES)
        return bound - 0.5 * self.action_dim * _LOG_TAU - self.box.half_width.log().sum()
