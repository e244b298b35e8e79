"""The encoder of priors that look at nothing: what they do follows from noise and memory alone."""

from __future__ import annotations

import torch
from torch import Tensor

from parrot_wrapper.priors.encoders.base import Encoder, ObservationTensors
from parrot_wrapper.types import ObservationSpec


class NothingEncoder(Encoder):
    """One feature that is always 0.

    Args:
        observation: What the data have; none of it is looked at, and no env has to supply it.
    """

    name = "nothing"
    reads = ()
    _zero: Tensor

    def __init__(self, observation: ObservationSpec) -> None:
        super().__init__(ObservationSpec(), feature_dim=1)
        self.register_buffer("_zero", torch.zeros(1), persistent=False)

    def forward(self, obs: ObservationTensors) -> Tensor:
        """As many zeros (B, 1) as whatever there is has rows."""
        rows = len(next(iter(obs.values())))
        return self._zero.expand(rows, 1).clone()

    def training_features(self, obs: ObservationTensors) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch of a prior that looks at nothing has actions only."""
        return self({"action": obs["action"]}), {}
