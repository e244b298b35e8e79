"""A prior's decoder in torch, for those who need the gradient of its actions by the noise."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from parrot_wrapper.errors import NotOfferedError
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.types import ActionPrior

Decoder = Callable[[Tensor, Tensor], Tensor]
"""From base noise (B, Z) and features (B, F) to actions (B, A), chunks (B, H, A), unclipped."""


def differentiable_decoder(prior: ActionPrior, device: str | torch.device = "cpu") -> Decoder:
    """What `prior.decode_features` computes, in torch, with gradients to the noise.

    It is made of a frozen copy of the prior: later changes of the prior do not show.

    Args:
        prior: The prior.
        device: Where the copy goes.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state"))
        >>> z, features = torch.ones(3, 2, requires_grad=True), torch.zeros(3, 4)
        >>> differentiable_decoder(prior)(z, features).sum().backward()
        >>> z.grad.shape
        torch.Size([3, 2])
    """
    if not isinstance(prior, EncoderPrior):
        raise _without_gradient(type(prior).__name__)
    frozen = copy.deepcopy(prior).requires_grad_(False).eval().to(device)
    like = frozen._like

    def decode(z: Tensor, features: Tensor) -> Tensor:
        return frozen._decode(z.to(like.dtype), features.to(like.dtype)).float()

    with torch.enable_grad():
        noise = torch.zeros(1, prior.latent_dim, device=device, requires_grad=True)
        made = decode(noise, torch.zeros(1, prior.feature_dim, device=device))
    if not made.requires_grad:
        raise _without_gradient(type(prior).__name__)
    return decode


def _without_gradient(name: str) -> NotOfferedError:
    return NotOfferedError(
        f"Expected a prior whose actions have a gradient by the noise, got {name}. Mixtures, "
        "policies of other libraries and priors written in NumPy have none."
    )
