"""The flow prior: a conditional RealNVP over single actions, given what an encoder sees.

Direction, stated once: *encode* takes an action a to base noise z, *decode* takes z to a, and
`log p(a|s) = log N(z; 0, I) + log|det dz/da|`.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from parrot_wrapper.priors.config import FlowPriorConfig, PriorConfig
from parrot_wrapper.priors.coupling import CouplingStack
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.folded import Folded
from parrot_wrapper.priors.folded_coupling import FoldedCouplings


class FlowPrior(EncoderPrior):
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
    config: FlowPriorConfig
    action_mean: Tensor
    action_std: Tensor

    def _add_layers(self) -> None:
        config = self.config
        self.flow = CouplingStack(
            config.action_dim,
            context_dim=self.encoder.context_dim,
            layers=config.coupling_layers,
            hidden=config.hidden,
            hidden_layers=config.hidden_layers,
            log_scale_bound=config.log_scale_bound,
        )
        self._acting_flow = Folded(FoldedCouplings)
        self.register_buffer("action_mean", torch.zeros(config.action_dim))
        self.register_buffer("action_std", torch.ones(config.action_dim))

    @property
    def latent_dim(self) -> int:
        """Z, equal to A for a flow."""
        return self.config.action_dim

    def set_action_scale(self, mean: Tensor, std: Tensor) -> None:
        """Set the standardisation of actions, (A,) each, std > 0; done by `fit_prior` from data."""
        self.action_mean.copy_(mean)
        self.action_std.copy_(std)

    def fit_action_scale(self, action: Tensor) -> None:
        """Set the standardisation to the mean and spread of actions (N, A)."""
        wide = action.double()
        low, high = (torch.from_numpy(edge).to(wide) for edge in self.action_bounds)
        least = 1e-3 * (high - low)  # a constant dimension must not blow up
        used = wide.amax(dim=0) - wide.amin(dim=0)
        # A box may be far larger than anything that is ever done in it.
        varies = used > 1e-5 * wide.abs().amax(dim=0)
        least = torch.where(varies, torch.minimum(least, used), least)
        std = torch.maximum(wide.std(dim=0, correction=0), least)
        self.set_action_scale(wide.mean(dim=0), std)

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
        context = self._encoder_for(len(z)).context(features)
        folded = self._acting_flow.of(self.flow) if self._folds else None
        if folded is None:
            return self.decode_tensor(z, context)
        return folded.decode(z, context) * self.action_std + self.action_mean

    def _forget_forms(self) -> None:
        super()._forget_forms()
        self._acting_flow.forget()

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        return self.encode_tensor(action, self.encoder.context(features))[0]

    def _log_prob(self, action: Tensor, features: Tensor) -> Tensor:
        return self.log_prob_tensor(action, self.encoder.context(features))
