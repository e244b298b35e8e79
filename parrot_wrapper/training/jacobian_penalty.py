"""A penalty on how strongly, and so how unevenly, a flow's latents act."""

from __future__ import annotations

from torch import Tensor

from parrot_wrapper.priors.flow import FlowPrior

_STEP = 0.02


def squared_jacobian(prior: FlowPrior, context: Tensor, noise: Tensor) -> Tensor:
    """An estimate of E |J|_F^2, where J is the derivative of the standardised action by the latent.

    Likelihood alone lets a flow be steep where the data are bimodal, such as a gripper's: there a
    latent acts otherwise than elsewhere, and an agent has to learn it anew. E |J v|^2 with v from a
    standard normal is |J|_F^2 (Hutchinson's trick; Finlay et al. 2020, section 3.2); J v is a
    central difference.

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
