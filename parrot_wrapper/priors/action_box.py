"""Actions in units of their box."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_wrapper.priors.config import PriorConfig


class ActionBox(nn.Module):
    """Between env actions and their box as [-1, 1] in every dimension; nothing is clipped.

    Args:
        config: Says the box.
    """

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
