"""The latent-variable prior: a latent held for H steps, and noise of each step beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parrot_wrapper.priors.arrays import as_float_array
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.coupling import bounded_log_scale
from parrot_wrapper.priors.skill import SkillPrior, SkillPriorConfig
from parrot_wrapper.priors.trainable import Batch, single_steps
from parrot_wrapper.priors.variational import annealed, kl_to_standard_normal
from parrot_wrapper.types import FloatArray

_LOG_SCALE = 5.0
"""Of an action in box units, stays within plus and minus this."""


@dataclass(frozen=True)
class LatentVariablePriorConfig(SkillPriorConfig):
    """Shapes and sizes of a `LatentVariablePrior`.

    Attributes:
        latent_dim: K, length of what is held. Z is K + H A.
        beta: Weight of its KL in nats, against nats of actions; 1 is the evidence lower bound.
        horizon: H, env steps for which it is held, 2 to 16.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = LatentVariablePriorConfig(ObservationSpec(state=4), 2, "state", horizon=5)
        >>> LatentVariablePriorConfig.from_dict(config.to_dict()) == config
        True
    """

    latent_dim: int = 4
    beta: float = 1.0


class LatentVariablePrior(SkillPrior):
    """A hierarchy (Tirumala et al. 2022, section 6): k ~ p(k | s), a ~ p(a | s, k) at each step.

    Both are Gaussians, so that base noise is theirs: its first K numbers make k once in H steps,
    the others are the noise of the H actions in order. Each action is decoded for the newest
    observation. Fitted by the evidence lower bound, with k inferred from the H actions.

    An agent sets all of the noise. What SAC accounts for, Z log 2 minus the entropy of u, is the KL
    of its choice of k plus the expected KLs of its noise for each action; this sum is an upper
    bound of the KL of what is executed.

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
        >>> config = LatentVariablePriorConfig(ObservationSpec(state=4), 2, "state", horizon=5)
        >>> prior = LatentVariablePrior(config)
        >>> prior.latent_dim, prior.features(np.zeros((3, 4), np.float32)).shape
        (14, (3, 4))
    """

    type_tag: ClassVar[str] = "latent-variable"
    config_class: ClassVar[type[PriorConfig]] = LatentVariablePriorConfig
    config: LatentVariablePriorConfig

    @property
    def latent_dim(self) -> int:
        """Z, the length of what is held and of the noise of H actions."""
        return self.config.latent_dim + self.horizon * self.action_dim

    @property
    def _decoder_width(self) -> int:
        return 2 * self.action_dim

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The evidence lower bound for each step, in nats, and the encoder's losses.

        "reconstruction" is the negative log-likelihood of an action given what is held, "kl" the
        annealed and weighted KL of what is held, over H.
        """
        flat = single_steps(batch)
        features, maps = self._seen(flat, generator)
        context = self.encoder.context(features)
        scaled = self.box.scale(batch["action"])
        mean, log_variance = self._posterior(scaled)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        held = mean + (0.5 * log_variance).exp() * noise
        own, log_scale = self._action(held.repeat_interleave(self.horizon, dim=0), context)
        off = (scaled.flatten(0, 1) - own) / log_scale.exp()
        density = -0.5 * off.square() - log_scale - 0.5 * math.log(2.0 * math.pi)
        nats = (density - self.box.half_width.log()).sum(dim=1)
        usual, spread = self._prior(context[:: self.horizon])
        kl = kl_to_standard_normal((mean - usual) / spread.exp(), log_variance - 2.0 * spread)
        weight = annealed(self.config.beta, self.config.anneal, batch)
        return {
            "reconstruction": -nats.mean(),
            "kl": weight * kl.mean() / self.horizon,
            **self._auxiliary(maps, flat, generator),
        }

    def criterion(self, losses: Mapping[str, float]) -> float:
        """The bound, which is what is fitted."""
        return losses["reconstruction"] + losses["kl"]

    def _action(self, held: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation (B, A) in box units, given (B, K) and newest (B, C)."""
        mean, raw = self._acted(held, context).chunk(2, dim=1)
        return mean, bounded_log_scale(raw, _LOG_SCALE)

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Noise of what is held (B, K), and of each action (B, H, A)."""
        held, others = z.tensor_split([self.config.latent_dim], dim=1)
        return held, others.reshape(len(z), self.horizon, self.action_dim)

    def decode_step(
        self, z: FloatArray, first: FloatArray, newest: FloatArray, step: int
    ) -> FloatArray:
        """See `parrot_wrapper.types.DecodesClosedLoop`."""
        with self._frozen():
            seen, now = self._embedded(first), self._embedded(newest)
            base, noise = self._split(self._rows("latent", z, (self.latent_dim,), len(seen)))
            held = self.skill_tensor(base, self.encoder.context(seen))
            mean, log_scale = self._action(held, self.encoder.context(now))
            return as_float_array(self.box.unscale(mean + log_scale.exp() * noise[:, step]))

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        context = self.encoder.context(features)
        base, noise = self._split(z)
        mean, log_scale = self._action(self.skill_tensor(base, context), context)
        return self.box.unscale(mean[:, None] + log_scale.exp()[:, None] * noise)

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        context, scaled = self.encoder.context(features), self.box.scale(action)
        held, _ = self._posterior(scaled)
        mean, log_scale = self._action(held, context)
        noise = (scaled - mean[:, None]) / log_scale.exp()[:, None]
        return torch.cat((self.noise_tensor(held, context)[0], noise.flatten(1)), dim=1)
