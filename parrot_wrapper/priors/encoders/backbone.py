"""Any torch module as an encoder: a backbone of the user's, frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import Encoder, ObservationTensors
from parrot_wrapper.priors.encoders.state import Standardise
from parrot_wrapper.types import ObservationSpec


class BackboneEncoder(Encoder):
    """Features of a frozen torch module, and after them the vectors of the observation.

    What stands under a name in the entry point group `parrot_wrapper.encoders` and is no `Encoder`
    is made with the encoder's options as keywords and wrapped in this. Its weights are kept in the
    prior's folder; they are never trained, and it stays in eval mode.

    Args:
        observation: What there is to look at; proprioception and state are standardised.
        name: Of the encoder.
        module: From images (B, C, H, W) float in [0, 1] to features (B, D). Without images it is
            given the standardised vectors instead, (B, P + S), and nothing stands after them.

    Raises:
        InvalidArgumentError: It is no module, or does not make vectors of such observations.

    Example:
        >>> pooled = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        >>> spec = ObservationSpec(image=(8, 8, 3), proprio=2)
        >>> BackboneEncoder(spec, name="pooled", module=pooled).feature_dim
        14
    """

    def __init__(self, observation: ObservationSpec, *, name: str, module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            raise InvalidArgumentError(
                f"Expected the encoder {name!r} as a torch.nn.Module, got {module!r}."
            )
        vector = observation.proprio + observation.state
        image = observation.image
        looked = (1, vector) if image is None else (1, image[2], *image[:2])
        module.eval()
        try:
            with torch.no_grad():
                shape = tuple(module(torch.zeros(looked)).shape)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidArgumentError(
                f"The encoder {name!r} expected other observations than {looked}: {error}"
            ) from error
        if len(shape) != 2 or shape[0] != 1:
            raise InvalidArgumentError(
                f"Expected features (B, D) of the encoder {name!r}, got {shape} for {looked}."
            )
        beside = 0 if image is None else vector
        super().__init__(observation, feature_dim=shape[1] + beside)
        self.name = name
        self.standardise = Standardise(vector)
        self.module = module

    def train(self, mode: bool = True) -> BackboneEncoder:
        """Set the mode of all but the backbone."""
        super().train(mode)
        self.module.eval()
        return self

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Observations to features (B, F)."""
        parts = [self.standardise(self._vector(obs))] if self.standardise.mean.numel() else []
        with torch.no_grad():
            if "image" in obs and self.observation.image is not None:
                seen = obs["image"].permute(0, 3, 1, 2).to(self.dtype) / 255.0
            else:
                seen = parts.pop()
            made: Tensor = self.module(seen)
        return torch.cat((made, *parts), dim=1)

    def _vector(self, obs: ObservationTensors) -> Tensor:
        named = [key for key in ("state", "proprio") if getattr(self.observation, key)]
        return torch.cat([obs[key] for key in named], dim=1).to(self.dtype)

    @torch.no_grad()
    def initialise(self, obs: ObservationTensors) -> None:
        """Take the scales of the vectors from the data."""
        if self.standardise.mean.numel():
            self.standardise.fit(self._vector(obs))
