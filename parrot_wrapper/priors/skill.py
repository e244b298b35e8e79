"""SPiRL's skill prior: a latent for H actions, decoded closed loop, and where it usually is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from parrot_wrapper.priors.arrays import as_float_array
from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.coupling import bounded_log_scale
from parrot_wrapper.priors.standardised import check_chunks
from parrot_wrapper.priors.trainable import PAPER, Batch, single_steps
from parrot_wrapper.priors.variational import (
    LAPTOP,
    ActionBox,
    VariationalConfig,
    VariationalPrior,
    annealed,
    kl_to_standard_normal,
)
from parrot_wrapper.types import FloatArray

_LOG_VARIANCE = (-10.0, 4.0)
_LOG_SCALE = 4.0
"""Of the prior over skills, stays within plus and minus this."""


@dataclass(frozen=True)
class SkillPriorConfig(VariationalConfig):
    """Shapes and sizes of a `SkillPrior`; the defaults are those of SPiRL's kitchen.

    Attributes:
        encoder: As of a flow.
        latent_dim: Z, length of a skill.
        widths: Hidden widths of the decoder and of the prior over skills.
        beta: Weight of the KL of a skill to a standard normal, in nats, against the mean squared
            error of an action dimension, in half-widths of the action box.
        anneal: See `VariationalConfig`.
        horizon: H, env steps that a skill drives, 2 to 16.
        recurrent: Width of the LSTM that reads actions.

    Raises:
        InvalidArgumentError: A value is outside its range; the message names the field.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = SkillPriorConfig(ObservationSpec(state=4), action_dim=2, encoder="state")
        >>> SkillPriorConfig.from_dict(config.to_dict()) == config
        True
    """

    encoder: str = "keypoints"
    latent_dim: int = 10
    widths: tuple[int, ...] = (128, 128, 128)
    beta: float = 5e-4
    horizon: int = 10
    recurrent: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("horizon", self.horizon, 2)
        check_chunks(self, self.horizon, replan=False)
        require_at_least("recurrent", self.recurrent, 1)


class SkillPrior(VariationalPrior):
    """Skills of H actions and a prior over them, as in SPiRL (Pertsch et al. 2020).

    A skill k (Z,) is what an LSTM makes of H actions; an MLP decodes it closed loop, one action for
    each newest observation. The prior over skills p(k | s) is a Gaussian, so that base noise and
    skills are one affine bijection, k = m(s) + exp(v(s)) z. SAC in the latent of the wrapper thus
    has SPiRL's objective: with the Gaussian chart Z log 2 minus the entropy of u *is* the KL of the
    policy over skills to p(k | s), without samples, clipping or a squashed reference. Of what is
    executed it is an upper bound.

    `encode` gives the noise of the posterior's mean, whose decoding is near the actions and not
    them. There is no density of actions.

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
        >>> prior = SkillPrior(SkillPriorConfig(ObservationSpec(state=4), 2, "state"))
        >>> z, state = np.zeros((3, 10), np.float32), np.zeros((3, 4), np.float32)
        >>> first = prior.features(state)
        >>> prior.decode_step(z, first, newest=first + 1, step=1).shape
        (3, 2)
    """

    type_tag: ClassVar[str] = "skill"
    config_class: ClassVar[type[PriorConfig]] = SkillPriorConfig
    batches: ClassVar = "windows"
    observes: ClassVar = "all"
    recipes: ClassVar = MappingProxyType({"laptop": LAPTOP, "paper": PAPER})
    config: SkillPriorConfig

    def _add_layers(self) -> None:
        config, context = self.config, self.encoder.context_dim
        skill = config.latent_dim
        self.box = ActionBox(config)
        self.reader = nn.LSTM(self.action_dim, config.recurrent, batch_first=True)
        self.posterior_head = nn.Linear(config.recurrent, 2 * skill)
        self.decoder = _mlp(context + skill, config.widths, self._decoder_width)
        self.prior_net = _mlp(context, config.widths, 2 * skill)

    @property
    def _decoder_width(self) -> int:
        """Numbers that are decoded for an action."""
        return self.action_dim

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Error of the decoded actions, the KL of skills, that of the prior, and the encoder's.

        "reconstruction" is a mean square in half-widths of the box, "kl" the annealed and weighted
        KL of skills to a standard normal, and "prior_kl" that to p(k | s), which only the prior
        learns from. It differs by a constant from SPiRL's likelihood of sampled skills.
        """
        flat = single_steps(batch)
        features, maps = self._seen(flat, generator)
        context = self.encoder.context(features)
        scaled = self.box.scale(batch["action"])
        mean, log_variance = self._posterior(scaled)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        skill = mean + (0.5 * log_variance).exp() * noise
        decoded = self._acted(skill.repeat_interleave(self.horizon, dim=0), context)
        prior_mean, log_scale = self._prior(context[:: self.horizon])
        # KL(q || p) is that of the same skills as noise of p to a standard normal
        as_noise = (mean.detach() - prior_mean) / log_scale.exp()
        ratio = log_variance.detach() - 2.0 * log_scale
        weight = annealed(self.config.beta, self.config.anneal, batch)
        return {
            "reconstruction": (decoded - scaled.flatten(0, 1)).square().mean(),
            "kl": weight * kl_to_standard_normal(mean, log_variance).mean(),
            "prior_kl": kl_to_standard_normal(as_noise, ratio).mean(),
            **self._auxiliary(maps, flat, generator),
        }

    def criterion(self, losses: Mapping[str, float]) -> float:
        """The bound of a decoder whose prior is p(k | s), which is what acts."""
        return losses["reconstruction"] + self.config.beta * losses["prior_kl"]

    def _posterior(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, Z) each, of the skill in actions (B, H, A) in box units."""
        _, (last, _) = self.reader(scaled)
        mean, log_variance = self.posterior_head(last[0]).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def _prior(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, (B, Z) each, of skills given contexts (B, C)."""
        mean, raw = self.prior_net(context).chunk(2, dim=1)
        return mean, bounded_log_scale(raw, _LOG_SCALE)

    def _acted(self, skill: Tensor, context: Tensor) -> Tensor:
        """Actions (B, A) in box units of skills (B, Z) given newest contexts (B, C)."""
        action: Tensor = self.decoder(torch.cat((context, skill), dim=1))
        return action

    def skill_tensor(self, z: Tensor, context: Tensor) -> Tensor:
        """Skills (B, Z) of base noise (B, Z) given first contexts (B, C)."""
        mean, log_scale = self._prior(context)
        return mean + log_scale.exp() * z

    def noise_tensor(self, skill: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Base noise (B, Z) of skills (B, Z) given first contexts (B, C), and log|det dz/dk|."""
        mean, log_scale = self._prior(context)
        return (skill - mean) / log_scale.exp(), -log_scale.sum(dim=1)

    def decode_step(
        self, z: FloatArray, first: FloatArray, newest: FloatArray, step: int
    ) -> FloatArray:
        """See `parrot_wrapper.types.DecodesClosedLoop`."""
        with self._frozen():
            seen, now = self._embedded(first), self._embedded(newest)
            latent = self._rows("latent", z, (self.latent_dim,), len(seen))
            skill = self.skill_tensor(latent, self.encoder.context(seen))
            action = self._acted(skill, self.encoder.context(now))
            return as_float_array(self.box.unscale(action))

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        context = self.encoder.context(features)
        action = self.box.unscale(self._acted(self.skill_tensor(z, context), context))
        return action[:, None].repeat(1, self.horizon, 1)

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        mean, _ = self._posterior(self.box.scale(action))
        return self.noise_tensor(mean, self.encoder.context(features))[0]


def _mlp(inside: int, widths: tuple[int, ...], outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for left, right in pairwise((inside, *widths)):
        layers += [nn.Linear(left, right), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outside))
