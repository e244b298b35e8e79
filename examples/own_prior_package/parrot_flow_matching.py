"""A kind of prior and an encoder from another package: names in its pyproject.toml, and this file.

The prior is conditional flow matching (Lipman et al. 2023): a net learns the velocity that carries
noise to actions along straight lines; acting follows it in a few steps. The encoder is any torch
module, a stand-in for a pretrained backbone: it stays frozen.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.trainable import Batch
from parrot_wrapper.priors.variational import ActionBox


@dataclass(frozen=True)
class FlowMatchingConfig(PriorConfig):
    """Its fields are the options of `parrot train-prior --kind flow-matching`.

    Attributes:
        hidden: Width of the net.
        euler_steps: Steps from noise to action.
    """

    hidden: int = 128
    euler_steps: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("hidden", self.hidden, 1)
        require_at_least("euler_steps", self.euler_steps, 1)


class FlowMatchingPrior(EncoderPrior):
    """Noise to actions along a learned velocity."""

    type_tag: ClassVar[str] = "flow-matching"
    config_class: ClassVar[type[PriorConfig]] = FlowMatchingConfig
    config: FlowMatchingConfig

    def _add_layers(self) -> None:
        inside = self.action_dim + self.encoder.context_dim + 1
        layers = nn.Linear(inside, self.config.hidden), nn.SiLU()
        self.net = nn.Sequential(*layers, nn.Linear(self.config.hidden, self.action_dim))
        self.box = ActionBox(self.config)

    @property
    def latent_dim(self) -> int:
        """As many as actions have."""
        return self.action_dim

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the velocity at a random point of the line from noise to action."""
        features, maps = self._seen(batch, generator)
        action = self.box.scale(batch["action"])
        noise = torch.randn(action.shape, generator=generator, device=action.device)
        time = torch.rand((len(action), 1), generator=generator, device=action.device)
        found = self._velocity(torch.lerp(noise, action, time), features, time)
        error = (found - (action - noise)).square().mean()
        return {"velocity": error, **self._auxiliary(maps, batch, generator)}

    def _velocity(self, x: Tensor, features: Tensor, time: Tensor) -> Tensor:
        return self.net(torch.cat((x, self.encoder.context(features), time), dim=1))

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        count, x = self.config.euler_steps, z
        for step in range(count):
            x = x + self._velocity(x, features, z.new_full((len(z), 1), step / count)) / count
        return self.box.unscale(x)


class Pooled(nn.Sequential):
    """Images (B, C, H, W) in [0, 1] to the mean colours of `cells` x `cells` patches."""

    def __init__(self, cells: int = 2) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(cells), nn.Flatten())
