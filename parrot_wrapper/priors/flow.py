"""The flow prior: a conditional RealNVP over single actions, given what an encoder sees.

Direction, stated once: *encode* takes an action a to base noise z, *decode* takes z to a, and
`log p(a|s) = log N(z; 0, I) + log|det dz/da|`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from parrot_wrapper.checks import is_number, require_instance, require_positive
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.coupling import COUPLINGS, CouplingStack
from parrot_wrapper.priors.encoders.base import ActingEncoder
from parrot_wrapper.priors.folded import Folded
from parrot_wrapper.priors.folded_couplings import folded_couplings
from parrot_wrapper.priors.standardised import StandardisedPrior
from parrot_wrapper.priors.trainable import PAPER, Batch, DataShapes

PAPER_SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "coupling_layers": 4,
        "coupling": "affine",
        "trunk_blocks": 0,
        "hidden": 256,
        "hidden_layers": 2,
    }
)
"""Of a flow as in PARROT, figure 8."""
_STEP = 0.02
"""Of the central difference in `squared_jacobian`."""
_Config = TypeVar("_Config", bound="FlowPriorConfig")


@dataclass(frozen=True)
class FlowPriorConfig(PriorConfig):
    """Shapes and sizes of a `FlowPrior`, beside what all priors have.

    Attributes:
        coupling_layers: Coupling layers, 4 in the paper. At least 2, so that every dimension is
            transformed.
        trunk_blocks: Residual blocks of a net between the context and all coupling layers; 0 for
            none, as in the paper.
        trunk_width: Its width.
        hidden: Width of each coupling layer's own net.
        hidden_layers: Hidden layers of each coupling layer's own net.
        log_scale_bound: Each affine layer's log-scale stays within plus and minus this.
        jacobian: Weight of the squared derivative of standardised actions by latents
            (`squared_jacobian`), which keeps what a latent does alike everywhere; 0 for likelihood
            alone.
        coupling: "spline" for rational-quadratic splines, or "affine", as in the paper.
        spline_bins: Bins of each spline, at least 2.
        spline_bound: Splines move standardised actions within plus and minus this.
        mixing: Put a learned linear map before each layer, so that it learns which dimensions move
            together.

    Raises:
        InvalidArgumentError: A value is outside its range; the message names the field.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=4), action_dim=2, encoder="state")
        >>> FlowPriorConfig.from_dict(config.to_dict()) == config
        True
    """

    coupling_layers: int = 3
    trunk_blocks: int = 2
    trunk_width: int = 256
    hidden: int = 128
    hidden_layers: int = 1
    log_scale_bound: float = 3.0
    jacobian: float = 0.0
    coupling: Literal["affine", "spline"] = "spline"
    spline_bins: int = 8
    spline_bound: float = 5.0
    mixing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("coupling_layers", self.coupling_layers, 2)
        require_at_least("trunk_blocks", self.trunk_blocks, 0)
        require_at_least("trunk_width", self.trunk_width, 1)
        require_at_least("hidden", self.hidden, 1)
        require_at_least("hidden_layers", self.hidden_layers, 1)
        require_positive("log_scale_bound", self.log_scale_bound)
        require_known("coupling", [self.coupling], COUPLINGS)
        require_at_least("spline_bins", self.spline_bins, 2)
        require_positive("spline_bound", self.spline_bound)
        require_instance("mixing", self.mixing, bool, "True or False")
        if not is_number(self.jacobian) or not 0 <= self.jacobian < math.inf:
            raise InvalidArgumentError(f"jacobian must be 0 or more, got {self.jacobian!r}.")

    @classmethod
    def from_dict(cls: type[_Config], content: Mapping[str, Any]) -> _Config:
        """As `PriorConfig.from_dict`; flows of versions without a trunk had the paper's sizes."""
        former = {} if "trunk_blocks" in content else PAPER_SIZES
        return super().from_dict({**former, **content})


class FlowPrior(StandardisedPrior):
    """Behavioural prior after PARROT (Singh et al. 2021, section 4): a = f(z; s), invertible in z.

    Implements `parrot_wrapper.types.ActionPrior` (NumPy arrays, batches, frozen and in eval mode)
    and beside it a torch side (`*_tensor`) for training. Letters: B batch, A action dim = Z latent
    dim, F feature dim, C context dim. Weights depend on `config` and `seed` only.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights (env id, camera, data hash, metrics).

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> import numpy as np
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=4), action_dim=2, encoder="state")
        >>> prior = FlowPrior(config)
        >>> state, z = np.zeros((3, 4), np.float32), np.ones((3, 2), np.float32)
        >>> action = prior.decode(z, state)
        >>> np.allclose(prior.encode(action, state), z, atol=1e-5)
        True
        >>> prior.log_prob(action, state).shape
        (3,)
    """

    type_tag: ClassVar[str] = "flow"
    config_class: ClassVar[type[PriorConfig]] = FlowPriorConfig
    recipes: ClassVar = MappingProxyType(
        {
            "paper": {**PAPER, **PAPER_SIZES},
            "laptop": {"learning_rate": 1e-3, "sight_share": 0.3},
            "laptop-frozen": {"patience": 0},
        }
    )
    config: FlowPriorConfig

    def _add_layers(self) -> None:
        config = self.config
        self.flow = CouplingStack(
            self.latent_dim,
            context_dim=self.context_dim,
            layers=config.coupling_layers,
            coupling=config.coupling,
            hidden=config.hidden,
            hidden_layers=config.hidden_layers,
            log_scale_bound=config.log_scale_bound,
            spline_bins=config.spline_bins,
            spline_bound=config.spline_bound,
            mixing=config.mixing,
            trunk_blocks=config.trunk_blocks,
            trunk_width=config.trunk_width,
        )
        self._acting_flow = Folded(folded_couplings)
        self._add_scale()

    @property
    def context_dim(self) -> int:
        """C, the length of what the flow is conditioned on."""
        return self.encoder.context_dim

    def _condition(self, encoder: ActingEncoder, features: Tensor) -> Tensor:
        """What the flow is conditioned on, (B, C), of features (B, F), by a form of its encoder."""
        return encoder.context(features)

    @property
    def bijective(self) -> bool:
        """Whether KL accounts are exact."""
        return True

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The negative log-likelihood "nll" in nats, "jacobian" if it has a weight, the encoder's.

        Those of a chunk are divided by its steps. All but what the encoder makes of observations is
        computed in the weights' own precision.
        """
        features, maps = self._seen(batch, generator)
        likelihood = self._likelihood(features, batch["action"], generator)
        return {**likelihood, **self._auxiliary(maps, batch, generator)}

    def _likelihood(
        self, features: Tensor, action: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The losses of actions (B, A), chunks (B, H, A), given features (B, F)."""
        wide = self.action_mean
        with torch.autocast(wide.device.type, enabled=False):
            context = self._condition(self.encoder, features)
            action = action.flatten(1).to(wide.dtype)
            losses = {"nll": -self.log_prob_tensor(action, context).mean()}
            if self.config.jacobian:
                shape = (len(context), 2 * self.latent_dim)
                noise = torch.randn(
                    shape, generator=generator, device=wide.device, dtype=wide.dtype
                )
                penalty = squared_jacobian(self, context, noise)
                losses["jacobian"] = self.config.jacobian * penalty
            return {name: loss / self.horizon for name, loss in losses.items()}

    def criterion(self, losses: Mapping[str, float]) -> float:
        """What the flow is fitted for: likelihood, and the penalty where it has one."""
        return losses["nll"] + losses.get("jacobian", 0.0)

    def encode_tensor(self, action: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (B, A) given contexts (B, C) to noise z (B, A) and log|det dz/da| (B,)."""
        standard = (action - self.action_mean) / self.action_std
        z, log_det = self.flow.encode(standard, context)
        return z, log_det - self.action_std.log().sum()

    def decode_tensor(self, z: Tensor, context: Tensor) -> Tensor:
        """Noise (B, A) given contexts (B, C) to actions (B, A); the inverse of `encode_tensor`."""
        return self.flow.decode(z, context) * self.action_std + self.action_mean

    def log_prob_tensor(self, action: Tensor, context: Tensor) -> Tensor:
        """Log density of actions (B, A) given contexts (B, C), in nats: (B,)."""
        z, log_det = self.encode_tensor(action, context)
        return log_det - 0.5 * (z.square() + math.log(2.0 * math.pi)).sum(dim=1)

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        context = self._condition(self._encoder_for(len(z)), features)
        folded = self._acting_flow.of(self.flow) if self._folds else None
        if folded is None:
            return self._chunked(self.decode_tensor(z, context))
        return self._chunked(folded.decode(z, context) * self.action_std + self.action_mean)

    def _forget_forms(self) -> None:
        super()._forget_forms()
        self._acting_flow.forget()

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        return self.encode_tensor(action.flatten(1), self._condition(self.encoder, features))[0]

    def _log_prob(self, action: Tensor, features: Tensor) -> Tensor:
        return self.log_prob_tensor(action.flatten(1), self._condition(self.encoder, features))


def flow_config(dataset: DataShapes, **options: Any) -> FlowPriorConfig:
    """The config of a `FlowPrior` that fits `dataset`: its observations, actions and action box.

    Args:
        dataset: What the prior will learn from.
        **options: Those of `FlowPrior.for_data`, such as `encoder`, `proprio` or `hidden`.

    Raises:
        UnknownNameError: No such encoder or option; the nearest is named.
        InvalidArgumentError: A value is outside its range.

    Example:
        >>> from parrot_wrapper.data import EpisodeDataset
        >>> data = EpisodeDataset.from_arrays([[0.0], [0.1]], [[0.2, 0.3]], [1])
        >>> config = flow_config(data, hidden=32)
        >>> config.encoder, config.action_dim, config.hidden
        ('state', 2, 32)
    """
    return FlowPrior.for_data(dataset, **options).config


def squared_jacobian(prior: FlowPrior, context: Tensor, noise: Tensor) -> Tensor:
    """An estimate of E |J|_F^2, where J is the derivative of the standardised action by the latent.

    Likelihood alone lets a flow be steep where the data are bimodal, as of a hand that opens or
    closes: there a latent acts otherwise than elsewhere, and an agent has to learn it anew.
    E |J v|^2 with v from a standard normal is |J|_F^2 (Hutchinson's trick; Finlay et al. 2020,
    section 3.2); J v is a central difference.

    Args:
        prior: In training or not.
        context: (B, C), what the flow is conditioned on.
        noise: (B, 2 A) standard normal: where, and in which direction.

    Returns:
        Scalar, at least 0; A where the context says nothing and actions are Gaussian.

    Example:
        >>> import torch
        >>> from parrot_wrapper import FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=3), action_dim=2, encoder="state")
        >>> prior = FlowPrior(config)  # the identity, untrained
        >>> context = prior.encoder.context(prior.encoder({"state": torch.zeros(4096, 3)}))
        >>> noise = torch.randn(4096, 4, generator=torch.Generator().manual_seed(0))
        >>> round(squared_jacobian(prior, context, noise).item())
        2
    """
    z, direction = noise.chunk(2, dim=1)
    ahead = prior.flow.decode(z + _STEP * direction, context)
    behind = prior.flow.decode(z - _STEP * direction, context)
    return ((ahead - behind) / (2 * _STEP)).square().sum(dim=1).mean()
