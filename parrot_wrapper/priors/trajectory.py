"""TrajRL's prior: a variational autoencoder over the actions of a whole episode."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.trainable import PAPER, Batch, DataShapes
from parrot_wrapper.priors.variational import (
    LAPTOP,
    VariationalConfig,
    VariationalPrior,
)

_Trajectory = TypeVar("_Trajectory", bound="TrajectoryVAEPrior")


@dataclass(frozen=True)
class TrajectoryVAEPriorConfig(VariationalConfig):
    """Shapes and sizes of a `TrajectoryVAEPrior`; the defaults are the paper's (appendix B).

    Attributes:
        horizon: H, env steps that one latent drives, 2 or more: the length of an episode.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = TrajectoryVAEPriorConfig(ObservationSpec(state=4), 2, "state", horizon=10)
        >>> TrajectoryVAEPriorConfig.from_dict(config.to_dict()) == config
        True
    """

    horizon: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("horizon", self.horizon, 2)


class TrajectoryVAEPrior(VariationalPrior):
    """VAE over H actions that looks at nothing: the paper's TrajRL (Ghadirzadeh et al. 2020).

    Implements `parrot_wrapper.types.ActionPrior` for horizons above one step: `decode` gives
    (B, H, A), `encode` takes it and gives the posterior's mean. Actions do not depend on the
    observation, which is there for the agent: where it sees the `features` of the encoder that the
    prior carries, an env has to supply what that looks at, and else nothing. There is no density.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights.

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> import numpy as np
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = TrajectoryVAEPriorConfig(ObservationSpec(state=4), 2, "state", horizon=10)
        >>> prior = TrajectoryVAEPrior(config)
        >>> prior.decode(np.zeros((3, 8), np.float32), np.zeros((3, 4), np.float32)).shape
        (3, 10, 2)
    """

    type_tag: ClassVar[str] = "trajectory"
    batches: ClassVar = "episodes"
    looks = False
    recipes: ClassVar = MappingProxyType({"laptop": {**LAPTOP, "steps": 10_000}, "paper": PAPER})
    config_class: ClassVar[type[PriorConfig]] = TrajectoryVAEPriorConfig
    config: TrajectoryVAEPriorConfig

    def _add_layers(self) -> None:
        self._add_autoencoder(self.config.horizon * self.action_dim, condition_dim=0)

    @classmethod
    def for_data(
        cls: type[_Trajectory],
        dataset: DataShapes,
        *,
        shared: EncoderPrior | None = None,
        seed: int = 0,
        horizon: int = 0,
        **options: Any,
    ) -> _Trajectory:
        """As `EncoderPrior.for_data`.

        Args:
            dataset: What it will learn from.
            shared: A prior whose encoder it carries for its agent.
            seed: Seed of the initial weights.
            horizon: H; 0 for the longest episode of the data.
            **options: Fields of its config.
        """
        steps = horizon or int(dataset.lengths.max())
        return super().for_data(dataset, shared=shared, seed=seed, horizon=steps, **options)

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error in half-widths of the box, and the annealed KL.

        Clipped actions are what is reconstructed. The encoder is not trained.
        """
        scaled = self.box.scale(batch["action"]).clamp(-1.0, 1.0).flatten(1)
        return self._losses(scaled, None, batch, generator)

    def prepare(self, sample: Batch) -> None:
        """Nothing: an encoder that looks at nothing has no statistics."""

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        flat = self.net.decode(z, None)
        return self.box.unscale(flat.view(len(z), self.horizon, self.action_dim))

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        mean, _ = self.net.posterior(self.box.scale(action).flatten(1), None)
        return mean
