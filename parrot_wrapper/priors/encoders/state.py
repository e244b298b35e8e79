"""Encoders without images: of a state vector, and of nothing at all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import Encoder, ObservationTensors
from parrot_wrapper.types import ObservationSpec


class Standardise(nn.Module):
    """Subtract the data's mean and divide by its standard deviation; the identity until `fit`."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim) to (B, dim)."""
        return (x - self.mean) / self.std

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take mean and standard deviation from (B, dim); a constant dimension keeps its scale."""
        values = x.double()
        std = values.std(dim=0, correction=0)
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))


class StateEncoder(Encoder):
    """Standardised state vector, then proprioception, for envs without images.

    Args:
        observation: Must have a state vector and no image.

    Raises:
        InvalidArgumentError: The observation has an image, or no state vector.
    """

    name = "state"
    reads = ("state", "proprio")

    def __init__(self, observation: ObservationSpec) -> None:
        if observation.images or not observation.state:
            raise InvalidArgumentError(
                f"The state encoder needs a state vector and no image, got {observation}. A vector "
                "that stands alone is called 'state'."
            )
        super().__init__(observation, feature_dim=observation.state + observation.proprio)
        self.standardise = Standardise(self.feature_dim)

    def _vector(self, obs: ObservationTensors) -> Tensor:
        parts = [obs[part] for part in self.reads if getattr(self.observation, part)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).to(self.dtype)

    def forward(self, obs: ObservationTensors) -> Tensor:
        """State (B, S), then proprioception where there is any, to features (B, F)."""
        features: Tensor = self.standardise(self._vector(obs))
        return features

    @torch.no_grad()
    def initialise(self, obs: ObservationTensors) -> None:
        """Take the scales from the data."""
        self.standardise.fit(self._vector(obs))


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
