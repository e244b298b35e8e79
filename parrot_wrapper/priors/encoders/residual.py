"""The encoder half of an image autoencoder: strided convolutions and residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_wrapper.priors.encoders.base import ObservationTensors, channels_first
from parrot_wrapper.priors.encoders.image_encoder import ImageEncoder, require_image, vector_dim
from parrot_wrapper.types import ObservationSpec

_LOG_VARIANCE = (-10.0, 4.0)
"""Range of the posterior's log-variance."""


class ResidualBlock(nn.Module):
    """x plus (ReLU, 3x3, ReLU, 1x1) of it (van den Oord et al. 2017, section 4.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        changed: Tensor = x + self.layers(x)
        return changed


class ResidualEncoder(ImageEncoder):
    """Encoder of the paper's VAE-features baseline: the CIFAR-10 network of the VQ-VAE.

    Two 4x4 convolutions with stride 2, two residual blocks, and a linear layer to mean and
    log-variance of a Gaussian posterior, whose mean is the features. The paper names 256 channels
    and no length of the code. Vectors beside the image are standardised and follow it.

    Args:
        observation: Must have an image of at least 4 pixels a side.
        channels: Of every convolution.
        blocks: Residual blocks.
        embedding: Length of the code; F is that and the vectors.

    Raises:
        InvalidArgumentError: No image, or a smaller one.
    """

    name = "residual"

    def __init__(
        self,
        observation: ObservationSpec,
        *,
        channels: int = 256,
        blocks: int = 2,
        embedding: int = 64,
    ) -> None:
        super().__init__(observation, feature_dim=embedding + vector_dim(observation))
        height, width, colours = require_image("residual", observation)
        self.channels, self.blocks, self.embedding = channels, blocks, embedding
        self.trunk = nn.Sequential(
            nn.Conv2d(colours, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 4, stride=2, padding=1),
            *(ResidualBlock(channels) for _ in range(blocks)),
            nn.ReLU(),
        )
        for weight in self.trunk.parameters():
            if weight.ndim == 4:  # pixels arrive channels_last; weights in step save a copy a pass
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.head = nn.Linear(channels * (height // 4) * (width // 4), 2 * embedding)
        self.add_scales("proprio")

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, embedding) each, of images (B, H, W, C) uint8."""
        # (B, H, W, C) seen as (B, C, H, W) is channels_last without a copy
        pixels = channels_first(image, self.dtype) - 0.5
        mean, log_variance = self.head(self.trunk(pixels).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        mean, _ = self.posterior(obs["image"])
        return self.join(mean, obs)
