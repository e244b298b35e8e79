"""Flow matching: noise to a chunk of actions along a learned velocity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import NotOfferedError, require_known
from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.standardised import ReplannedChunks, check_chunks
from parrot_wrapper.priors.trainable import PAPER, Batch

_WAVES = 4
"""Frequencies by which a net knows a time in [0, 1]."""
_WAY_OUT = (
    ": the way from noise to actions has no exact inverse. Where one is needed, as for "
    "demonstrations in replay, train a prior of type 'flow' or 'chunk'."
)
SOLVERS = ("euler", "heun")


@dataclass(frozen=True)
class FlowMatchingPriorConfig(PriorConfig):
    """Shapes and sizes of a `FlowMatchingPrior`, beside what all priors have.

    Attributes:
        horizon: H, env steps that one latent drives, 1 to 16.
        replan: Plan anew before each action, see `ReplannedChunks`; else chunks are executed open
            loop, as they were planned.
        hidden: Width of the net.
        hidden_layers: Its hidden layers.
        solver: "euler" (one pass of the net a step) or "heun" (two, and of second order).
        solver_steps: Steps from noise to actions.

    Raises:
        InvalidArgumentError: A value is outside its range; the message names the field.
        UnknownNameError: No such solver.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = FlowMatchingPriorConfig(ObservationSpec(state=4), 2, "state", horizon=10)
        >>> FlowMatchingPriorConfig.from_dict(config.to_dict()) == config
        True
    """

    horizon: int = 1
    replan: bool = False
    hidden: int = 256
    hidden_layers: int = 3
    solver: Literal["euler", "heun"] = "euler"
    solver_steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_chunks(self, self.horizon, self.replan)
        require_at_least("hidden", self.hidden, 1)
        require_at_least("hidden_layers", self.hidden_layers, 1)
        require_known("solver", [self.solver], SOLVERS)
        require_at_least("solver_steps", self.solver_steps, 1)


class FlowMatchingPrior(ReplannedChunks):
    """Noise to actions along a learned velocity (Lipman et al. 2023), as DSRL steers it.

    A net learns the velocity dx/dt = v(x, t; s) that carries noise at t = 0 to standardised actions
    at t = 1 along straight lines on average; acting follows it in a few steps. A latent is noise
    for the whole chunk, Z = H A. With finitely many steps nothing says that each action has one
    latent: there is no `encode` and no `log_prob`, and accounts of the KL are upper bounds.

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
        >>> config = FlowMatchingPriorConfig(ObservationSpec(state=4), 2, "state", horizon=5)
        >>> prior = FlowMatchingPrior(config)
        >>> prior.decode(np.zeros((3, 10), np.float32), np.zeros((3, 4), np.float32)).shape
        (3, 5, 2)
    """

    type_tag: ClassVar[str] = "flow-matching"
    config_class: ClassVar[type[PriorConfig]] = FlowMatchingPriorConfig
    batches: ClassVar = "windows"
    recipes: ClassVar = MappingProxyType(
        {"paper": PAPER, "laptop-frozen": {"learning_rate": 1e-3, "patience": 0}}
    )
    times: ClassVar[int] = 1
    """How many times the net is told."""
    config: FlowMatchingPriorConfig

    def _add_layers(self) -> None:
        config = self.config
        width = self.latent_dim + self.encoder.context_dim + self.times * 2 * _WAVES
        layers: list[nn.Module] = []
        for _ in range(config.hidden_layers):
            layers += [nn.Linear(width, config.hidden), nn.SiLU()]
            width = config.hidden
        self.net = nn.Sequential(*layers, nn.Linear(width, self.latent_dim))
        self._add_scale()

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the velocity on the line from noise to actions, and the encoder's.

        All but what the encoder makes of observations is computed in the weights' own precision.
        """
        features, maps = self._seen(batch, generator)
        wide = self.action_mean
        with torch.autocast(wide.device.type, enabled=False):
            action = batch["action"].flatten(1).to(wide.dtype)
            action = (action - self.action_mean) / self.action_std

            def drawn(draw: Callable[..., Tensor], *shape: int) -> Tensor:
                return draw(shape, generator=generator, device=wide.device, dtype=wide.dtype)

            noise, time = drawn(torch.randn, *action.shape), drawn(torch.rand, len(action), 2)
            error = self._error(noise, action, time, self.encoder.context(features))
            return {"velocity": error, **self._auxiliary(maps, batch, generator)}

    def _error(self, noise: Tensor, action: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            noise: (B, Z) standard normal.
            action: (B, Z) standardised.
            time: (B, 2) uniform in [0, 1).
            context: (B, C).
        """
        at = time[:, :1]
        found = self._velocity(torch.lerp(noise, action, at), at, context)
        return (found - (action - noise)).square().mean()

    def _velocity(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """From points (B, Z) at times (B, times) given contexts (B, C): (B, Z)."""
        found: Tensor = self.net(torch.cat((x, context, waves(time)), dim=1))
        return found

    def decode_tensor(self, z: Tensor, context: Tensor) -> Tensor:
        """Noise (B, Z) given contexts (B, C) to actions (B, Z); gradients pass."""
        x, step = z, 1.0 / self.config.solver_steps
        for index in range(self.config.solver_steps):
            x = self._stepped(x, z.new_full((len(z), 1), index * step), step, context)
        return x * self.action_std + self.action_mean

    def _stepped(self, x: Tensor, time: Tensor, step: float, context: Tensor) -> Tensor:
        velocity = self._velocity(x, time, context)
        ahead = x + step * velocity
        if self.config.solver == "euler":
            return ahead
        return x + 0.5 * step * (velocity + self._velocity(ahead, time + step, context))

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        return self._chunked(self.decode_tensor(z, self._encoder_for(len(z)).context(features)))

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        raise NotOfferedError(f"A prior of type {self.type_tag!r} cannot encode actions{_WAY_OUT}")

    def _log_prob(self, action: Tensor, features: Tensor) -> Tensor:
        raise NotOfferedError(f"A prior of type {self.type_tag!r} has no density{_WAY_OUT}")


def waves(time: Tensor) -> Tensor:
    """Sines and cosines (B, 8 T) of times (B, T) in [0, 1], from half a period upwards.

    Example:
        >>> waves(torch.zeros(3, 2)).shape
        torch.Size([3, 16])
    """
    rates = math.pi * torch.arange(1, _WAVES + 1, device=time.device, dtype=time.dtype)
    phase = (time[:, :, None] * rates).flatten(1)
    return torch.cat((phase.sin(), phase.cos()), dim=1)
