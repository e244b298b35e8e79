"""Layer normalisation for stock SB3 networks, through their `activation_fn`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class LayerNormReLU(nn.Module):
    """Normalise over the last dimension, without learned scale or shift, then rectify.

    SB3 builds its networks from `Linear` and `activation_fn` alone; giving it this one puts layer
    normalisation (Ba et al. 2016) into every hidden layer of actor and critics. Normalised critics
    extrapolate less beyond the replayed actions (RLPD, Ball et al. 2023, section 4.2).

    Example:
        >>> import torch
        >>> LayerNormReLU()(torch.tensor([[1.0, 3.0]])).round()
        tensor([[0., 1.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return functional.relu(functional.layer_norm(x, x.shape[-1:]))
