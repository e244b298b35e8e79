"""The paper's convolutional trunk as an SB3 features extractor."""

from __future__ import annotations

from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError

_CHANNELS = 16


class PaperConvolutions(BaseFeaturesExtractor):
    """Three 3x3 convolutions of 16 channels, max-pooled after the first two (PARROT, Figure 9).

    48x48 images give 16 * 12 * 12 = 2304 features. The figure's sizes are reconstructed from the
    authors' later code; images arrive channels first and scaled to [0, 1] by SB3.

    Args:
        observation_space: Box (C, H, W) with H and W of at least 4.

    Raises:
        InvalidArgumentError: Not such a box.

    Example:
        >>> PaperConvolutions(spaces.Box(0, 255, (3, 48, 48))).features_dim
        2304
    """

    def __init__(self, observation_space: spaces.Box) -> None:
        shape = observation_space.shape
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise InvalidArgumentError(
                f"Expected images (C, H, W) of at least 4x4 pixels, got shape {shape}."
            )
        channels, height, width = shape
        super().__init__(observation_space, _CHANNELS * (height // 4) * (width // 4))
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to features (B, F)."""
        features: Tensor = self.trunk(observations)
        return features
