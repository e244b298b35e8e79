"""What encoders of images share: the vectors beside an image join what is made of it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from parrot_wrapper.priors.encoders.base import Encoder, ObservationTensors
from parrot_wrapper.priors.encoders.state import Standardise
from parrot_wrapper.types import ObservationSpec

VECTORS = ("proprio", "state")
"""Parts that may stand beside an image, in the order in which they are joined."""


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
