"""Any torch module as an encoder: a backbone of the user's, frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import ObservationTensors
from parrot_wrapper.priors.encoders.image_encoder import ImageEncoder, vector_dim
from parrot_wrapper.types import ObservationSpec


class BackboneEncoder(ImageEncoder):
    """Features of a frozen torch module, and after them the vectors of the observation.

    What stands under a name in the entry point group `parrot_wrapper.encoders` and is no `Encoder`
    is made with the encoder's options as keywords and wrapped in this. Its weights are kept in the
    prior's folder; they are never trained, and it stays in eval mode.

    Args:
        observation: What there is to look at; vectors are standardised.
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
        image = observation.image
        seen = (1, vector_dim(observation)) if image is None else (1, image[2], *image[:2])
        module.eval()
        try:
            with torch.no_grad():
                shape = tuple(module(torch.zeros(seen)).shape)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidArgumentError(
                f"The encoder {name!r} expected other observations than {seen}: {error}"
            ) from error
        if len(shape) != 2 or shape[0] != 1:
            raise InvalidArgumentError(
                f"Expected features (B, D) of the encoder {name!r}, got {shape} for {seen}."
            )
        beside = 0 if image is None else vector_dim(observation)
        super().__init__(observation, feature_dim=shape[1] + beside)
        self.name = name
        self.module = module
        self.add_scales()

    def train(self, mode: bool = True) -> BackboneEncoder:
        """Set the mode of all but the backbone."""
        super().train(mode)
        self.module.eval()
        return self

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Observations to features (B, F)."""
        with torch.no_grad():
            if self.observation.image is None:
                parts = [scale(obs[part].to(self.dtype)) for part, scale in self._scales()]
                vectors: Tensor = self.module(torch.cat(parts, dim=1))
                return vectors
            made: Tensor = self.module(obs["image"].permute(0, 3, 1, 2).to(self.dtype) / 255.0)
        return self.join(made, obs)
