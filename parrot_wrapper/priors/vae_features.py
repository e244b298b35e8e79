"""Features of a beta-VAE over observations: what to see, and nothing of how to act."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from parrot_wrapper.checks import require_positive, require_share
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.priors.arrays import as_float_array, as_tensor, observation_arrays
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.encoders import CamerasEncoder, ResidualEncoder
from parrot_wrapper.priors.encoders.base import channels_first
from parrot_wrapper.priors.encoders.residual import ResidualBlock
from parrot_wrapper.priors.trainable import PAPER, Batch
from parrot_wrapper.priors.variational import LAPTOP, annealed, kl_to_standard_normal
from parrot_wrapper.types import ImageArray, Observations


@dataclass(frozen=True)
class VAEFeaturesConfig(PriorConfig):
    """Shapes and sizes of a `VAEFeatures`.

    Attributes:
        encoder: "residual"; its options have the sizes, 256 channels in the paper.
        beta: Weight of the KL divergence in nats (Higgins et al. 2017) against half the squared
            error, summed over all pixels and colours in [0, 1]. Objects are few pixels: at 1 many
            of them are not worth their nats.
        anneal: In training that weight reaches half at this share of the run.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = VAEFeaturesConfig(ObservationSpec(image=(48, 48, 3)), action_dim=7)
        >>> VAEFeaturesConfig.from_dict(config.to_dict()) == config
        True
    """

    encoder: str = "residual"
    beta: float = 0.1
    anneal: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("beta", self.beta)
        require_share("anneal", self.anneal)
        if self.encoder != ResidualEncoder.name:
            raise InvalidArgumentError(
                f"VAE features need the encoder {ResidualEncoder.name!r}, got {self.encoder!r}."
            )


class VAEFeatures(EncoderPrior):
    """A beta-VAE over images: the paper's VAE-features baseline (after Higgins et al. 2017).

    It stands where priors stand, because an agent with `raw_actions` looks through it, but it makes
    no actions: `decode`, `encode` and `log_prob` raise `NotOfferedError`. The action box is that of
    the env whose images it was trained on. The decoder mirrors the encoder.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights.

    Raises:
        UnknownNameError: No such encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> options = {"channels": 8, "embedding": 16}
        >>> config = VAEFeaturesConfig(
        ...     ObservationSpec(image=(48, 48, 3)), action_dim=7, encoder_options=options
        ... )
        >>> VAEFeatures(config).features(np.zeros((2, 48, 48, 3), np.uint8)).shape
        (2, 16)
    """

    type_tag: ClassVar[str] = "features"
    shares_encoder: ClassVar[bool] = False
    recipes: ClassVar = MappingProxyType(
        {
            "laptop": {
                **LAPTOP,
                "steps": 15_000,
                "batch_size": 64,
                "precision": "auto",
                "encoder_options": {"channels": 16},  # the paper's is 256
            },
            "paper": {**PAPER, "steps": 1_500_000, "learning_rate": 1e-3, "batch_size": 128},
        }
    )
    config_class: ClassVar[type[PriorConfig]] = VAEFeaturesConfig
    config: VAEFeaturesConfig

    def _add_layers(self) -> None:
        made = [_decoder(encoder) for encoder in self._encoders.values()]
        self.decoder = made[0] if len(made) == 1 else nn.ModuleList(made)

    @property
    def _encoders(self) -> dict[str, ResidualEncoder]:
        """The encoder of each image, by the image's name."""
        parts = self.encoder.cameras if isinstance(self.encoder, CamerasEncoder) else [self.encoder]
        residual = [part for part in parts if isinstance(part, ResidualEncoder)]
        return dict(zip(self.config.observation.images, residual, strict=True))

    @property
    def _decoders(self) -> dict[str, nn.Module]:
        """Beside them their decoders."""
        parts = self.decoder if isinstance(self.decoder, nn.ModuleList) else [self.decoder]
        return dict(zip(self._encoders, parts, strict=True))

    @property
    def latent_dim(self) -> int:
        """Z: 0, there is no latent to act by."""
        return 0

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Half the squared error of an image, pixels in [0, 1], and the annealed KL, in nats.

        Nothing in the data but images is looked at; of several cameras both are summed.
        """
        weight = annealed(self.config.beta, self.config.anneal, batch)
        pairs = [self._of_image(name, batch[name], generator) for name in self._encoders]
        errors, divergences = zip(*pairs, strict=True)
        kl = weight * torch.stack(divergences).sum()
        return {"reconstruction": torch.stack(errors).sum(), "kl": kl}

    def _of_image(
        self, name: str, image: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mean squared error and KL of the images (B, H, W, C) of one name."""
        wide = self._like
        mean, log_variance = (part.to(wide.dtype) for part in self._encoders[name].posterior(image))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=wide.dtype)
        decoded = self._pixels(name, mean + (0.5 * log_variance).exp() * noise).to(wide.dtype)
        target = channels_first(image, wide.dtype)
        error = 0.5 * (decoded - target).square().sum(dim=(1, 2, 3))
        return error.mean(), kl_to_standard_normal(mean, log_variance).mean()

    def reconstruct(self, obs: Observations, image_key: str = "image") -> ImageArray:
        """What the features know of the images: (B, H, W, C) uint8.

        Args:
            obs: A batch of observations.
            image_key: Which of several images, by its name.

        Raises:
            SpaceMismatchError: The observations are not what it was trained on.
            UnknownNameError: There is no such image.
        """
        require_known("image", [image_key], self._encoders)
        with self._frozen():
            image = observation_arrays(obs, self.config.observation)[image_key]
            mean, _ = self._encoders[image_key].posterior(as_tensor(image, self._like.device))
            pixels = as_float_array(self._pixels(image_key, mean).permute(0, 2, 3, 1))
            decoded: ImageArray = (255.0 * np.clip(pixels, 0.0, 1.0)).round().astype(np.uint8)
        return decoded

    def _pixels(self, name: str, code: Tensor) -> Tensor:
        pixels: Tensor = self._decoders[name](code) + 0.5
        return pixels


def _decoder(encoder: ResidualEncoder) -> nn.Sequential:
    image = encoder.observation.image
    assert image is not None  # the encoder saw to it
    height, width, colours = image
    channels, cells = encoder.channels, (height // 4, width // 4)
    return nn.Sequential(
        nn.Linear(encoder.embedding, channels * cells[0] * cells[1]),
        nn.Unflatten(1, (channels, *cells)),
        *(ResidualBlock(channels) for _ in range(encoder.blocks)),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, colours, 4, stride=2, padding=1),
    )
