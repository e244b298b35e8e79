"""Encoders of one image: what ours share, and one around a user's own torch module."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import Encoder, ObservationTensors, channels_first
from parrot_wrapper.priors.encoders.state import Standardise
from parrot_wrapper.types import VECTORS, ObservationSpec


def vector_dim(observation: ObservationSpec) -> int:
    """P + S, how many numbers stand beside the image."""
    return observation.proprio + observation.state


class ImageEncoder(Encoder):
    """Base of encoders of images, which read proprioception and state beside them too.

    A subclass calls `add_scales` where its vectors come in, and `join` with what it makes of the
    image. Each vector is standardised; its scale is kept under the vector's name, and a file
    without that name is of an encoder that did not read it.
    """

    reads: ClassVar[tuple[str, ...]] = ("image", *VECTORS)

    def add_scales(self, *always: str) -> None:
        """Make the scales of the vectors that there are, and of those called so in any case."""
        for part in VECTORS:
            length = getattr(self.observation, part)
            if length or part in always:
                self.add_module(part, Standardise(length))

    def join(self, seen: Tensor, obs: ObservationTensors) -> Tensor:
        """What is made of images (B, N), then the vectors, standardised: (B, N + P + S)."""
        beside = [scale(obs[part].to(self.dtype)) for part, scale in self._scales()]
        return torch.cat((seen, *beside), dim=1) if beside else seen

    @torch.no_grad()
    def initialise(self, obs: ObservationTensors) -> None:
        """Take the scales of vectors from the data."""
        for part, scale in self._scales():
            scale.fit(obs[part])

    def _scales(self) -> list[tuple[str, Standardise]]:
        return [(part, getattr(self, part)) for part in VECTORS if getattr(self.observation, part)]


_LEAST = 4


def require_image(encoder: str, observation: ObservationSpec) -> tuple[int, int, int]:
    """The image's shape (H, W, C)."""
    image = observation.image
    if image is None or min(image[:2]) < _LEAST:
        raise InvalidArgumentError(
            f"The {encoder} encoder needs images (H, W, C) of at least {_LEAST} pixels a side, got "
            f"{image}."
        )
    return image


def quarter(side: int) -> int:
    """Blocks of 4 pixels that cover a side."""
    return -(-side // 4)


def padded(image: Tensor, block: int) -> Tensor:
    """Images (B, H, W, C) with the last row and column repeated until both sides divide."""
    height, width = image.shape[1:3]
    below, right = -height % block, -width % block
    if not below and not right:
        return image
    first = image.permute(0, 3, 1, 2).float()  # there is no replication of uint8
    grown = functional.pad(first, (0, right, 0, below), mode="replicate")
    return grown.permute(0, 2, 3, 1).to(image.dtype)


def patterned(image: Tensor, cell: int, strength: float, generator: torch.Generator) -> Tensor:
    """Images (B, H, W, C) float, in [0, 255], with random patterns laid over them.

    Squares of a quarter, a half and three quarters of a cell are lighter or darker at random. What
    has learned to see past them finds things whose own patterns it has never seen.

    Args:
        image: (B, H, W, C), in [0, 255].
        cell: Side of a cell in pixels.
        strength: Largest standard deviation of each size, of the range of pixels; it differs from
            image to image.
        generator: Draws them.
    """
    size, height, width, colours = image.shape
    options: dict[str, Any] = {"generator": generator, "device": image.device}
    total = channels_first(image, torch.float32)
    for quarters in (1, 2, 3):
        side = max(1, round(cell * quarters / 4))
        grid = -(-height // side), -(-width // side)
        coloured = torch.randn(size, colours, *grid, **options)
        squares = 0.5 * coloured + torch.randn(size, 1, *grid, **options)
        amount = strength * torch.rand(size, 1, 1, 1, **options).square()
        wide = functional.interpolate(amount * squares, scale_factor=side)
        total = total + wide[:, :, :height, :width]
    return 255.0 * total.clamp(0.0, 1.0).permute(0, 2, 3, 1)


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
            made: Tensor = self.module(channels_first(obs["image"], self.dtype))
        return self.join(made, obs)
