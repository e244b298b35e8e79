"""What encoders of images share: the vectors beside an image join what is made of it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import Encoder, ObservationTensors
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
