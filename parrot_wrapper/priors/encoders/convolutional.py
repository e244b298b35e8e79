"""The paper's image encoder: three small convolutions and a fully connected embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoders.base import ObservationTensors, channels_first
from parrot_wrapper.priors.encoders.image_encoder import (
    ImageEncoder,
    padded,
    quarter,
    require_image,
    vector_dim,
)
from parrot_wrapper.types import ObservationSpec


class ConvolutionalEncoder(ImageEncoder):
    """Three 3x3 convolutions, pooling after the first two, then an embedding.

    48x48 images become 16 x 12 x 12 = 2,304 numbers, as in the policies of Singh et al. (2021),
    then `hidden` units, then the embedding. Vectors beside the image, where there are any, are
    standardised and join the hidden layer's input.

    Args:
        observation: Must have an image of at least 4 pixels a side.
        channels: Channels of each convolution.
        hidden: Units between the feature map and the embedding.
        embedding: F, length of the embedding.
        pixel_unshuffle: 2 folds each 2x2 block of pixels into channels before the first
            convolution (and drops the first pooling): about half the time of a step.

    Raises:
        InvalidArgumentError: No image, a smaller one, or an option out of range.
    """

    name = "convolutional"

    def __init__(
        self,
        observation: ObservationSpec,
        *,
        channels: int = 16,
        hidden: int = 256,
        embedding: int = 256,
        pixel_unshuffle: int = 1,
    ) -> None:
        super().__init__(observation, feature_dim=embedding)
        height, width, colours = require_image("convolutional", observation)
        if pixel_unshuffle not in (1, 2):
            raise InvalidArgumentError(f"pixel_unshuffle must be 1 or 2, got {pixel_unshuffle!r}.")
        self.fold = pixel_unshuffle
        pool = nn.MaxPool2d(2, ceil_mode=True)  # odd sides lose no pixel
        first_pool = pool if pixel_unshuffle == 1 else nn.Identity()
        self.convolutions = nn.Sequential(
            nn.Conv2d(colours * pixel_unshuffle**2, channels, 3, padding=1),
            first_pool,  # pooling before the rectifier gives the same and is cheaper
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            pool,
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )
        for weight in self.convolutions.parameters():
            if weight.ndim == 4:  # pixels arrive channels_last; weights in step save a copy a pass
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.add_scales("proprio")
        flat = channels * quarter(height) * quarter(width)
        self.head = nn.Sequential(
            nn.Linear(flat + vector_dim(observation), hidden),
            nn.SiLU(),
            nn.Linear(hidden, embedding),
        )

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to the embedding (B, F)."""
        image = obs["image"]
        if self.fold == 2:
            image = _fold_blocks(image)
        # (B, H, W, C) seen as (B, C, H, W) is channels_last without a copy
        pixels = channels_first(image, self.dtype) - 0.5
        embedding: Tensor = self.head(self.join(self.convolutions(pixels).flatten(1), obs))
        return embedding


def _fold_blocks(image: Tensor) -> Tensor:
    """Pixel-unshuffle by 2 in the channels-last layout: (B, H, W, C) to (B, H/2, W/2, 4C).

    Sides that are odd are made even by repeating the last row or column.
    """
    image = padded(image, 2)
    batch, height, width, colours = image.shape
    blocks = image.reshape(batch, height // 2, 2, width // 2, 2, colours).transpose(2, 3)
    return blocks.reshape(batch, height // 2, width // 2, 4 * colours)
