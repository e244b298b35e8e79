"""What every observation encoder offers to a prior and to its training."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.registry import ENCODERS
from parrot_wrapper.types import Demonstrations, FloatArray, ObservationSpec

ObservationTensors = Mapping[str, Tensor]
"""As the spec has them: images (B, H, W, C) uint8, "proprio" (B, P), "state" (B, S) float."""


def channels_first(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Images (B, H, W, C), in [0, 255], as convolutions read them: (B, C, H, W), in [0, 1]."""
    return image.permute(0, 3, 1, 2).to(dtype) / 255.0


class ActingEncoder(Protocol):
    """What acting needs of an encoder."""

    def __call__(self, obs: ObservationTensors) -> Tensor:
        """Features (B, F)."""

    def context(self, features: Tensor) -> Tensor:
        """What the flow is conditioned on, (B, context_dim), from features (B, F)."""


class Encoder(nn.Module):
    """Observations to features that flow and agent share.

    A subclass sets `name`, by which it is known at once, and `reads`, takes the `ObservationSpec`
    first and keyword-only JSON-able options after it, calls `super().__init__` and writes
    `forward`. The rest has defaults. What an encoder is given it looks at: what it does not read,
    it refuses. An encoder of one image serves several cameras too, one encoder for each (see
    `CamerasEncoder`). What is just a torch module needs no subclass: see `BackboneEncoder`.

    Args:
        observation: What there is to look at.
        feature_dim: F, length of the features that `forward` returns.
        context_dim: Length of what the flow is conditioned on; None for `feature_dim`.

    Raises:
        InvalidArgumentError: There is a part that the encoder does not read.
    """

    name: str
    reads: ClassVar[tuple[str, ...]]
    """Parts of an `ObservationSpec` that it looks at, where there are such."""
    several_images: ClassVar[bool] = False
    """Whether it looks at all images itself; if not, each camera gets one of its own."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in cls.__dict__:
            ENCODERS.add(cls.name, cls)

    def __init__(
        self, observation: ObservationSpec, *, feature_dim: int, context_dim: int | None = None
    ) -> None:
        super().__init__()
        readable = set(self.reads)
        if "image" in self.reads and self.several_images:
            readable |= set(observation.images)
        unread = [part for part in observation.parts if part not in readable]
        if unread:
            raise InvalidArgumentError(
                f"The {self.name} encoder reads {', '.join(self.reads)}, got {observation}; it "
                f"would not look at {', '.join(unread)}."
            )
        self.observation = observation
        self.feature_dim = feature_dim
        self.context_dim = feature_dim if context_dim is None else context_dim

    @property
    def dtype(self) -> torch.dtype:
        """The floating type that the weights have and observations are brought to."""
        for tensor in chain(self.parameters(), self.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return torch.float32

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Features (B, F)."""
        raise NotImplementedError

    def context(self, features: Tensor) -> Tensor:
        """What the flow is conditioned on, (B, context_dim), from features (B, F)."""
        return features

    def for_acting(self) -> ActingEncoder:
        """Its quickest form on one or a few observations, on the CPU, in float32."""
        return self

    def augment(self, obs: ObservationTensors, generator: torch.Generator) -> ObservationTensors:
        """Observations as the encoder sees them in training; by default as they are."""
        return obs

    def training_features(self, obs: ObservationTensors) -> tuple[Tensor, dict[str, Tensor]]:
        """Features and whatever `auxiliary_losses` needs of the pass that made them."""
        return self(obs), {}

    @classmethod
    def options_for(
        cls, data: Demonstrations, observation: ObservationSpec, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """JSON-able options for a new encoder that is to learn from `data`; by default the same."""
        return dict(options)

    def labels(self, data: Demonstrations) -> dict[str, FloatArray]:
        """What `auxiliary_losses` learns from, made of the data: (N, ...) float32 by name.

        N is the number of rows of `data.observations`. By default nothing.
        """
        return {}

    def lessons(self, data: Demonstrations) -> list[str]:
        """What in the data its own losses learn from, in words; by default nothing."""
        return []

    def gaps(self, data: Demonstrations) -> list[str]:
        """What the data lack for its own losses, and what to do: sentences."""
        return []

    def auxiliary_losses(
        self,
        intermediates: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weighted scalar losses by name, added to the prior's own in training.

        Args:
            intermediates: What `training_features` returned, floating tensors in float32.
            batch: The whole batch: observations, "action" and what `labels` made. Entries 2i and
                2i + 1 are two time steps of one episode.
            generator: All that is random is drawn from it.
        """
        return {}

    def perturb(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Features (B, F) as the flow sees them in training; by default unchanged."""
        return features

    @torch.no_grad()
    def initialise(self, obs: ObservationTensors) -> None:
        """Set data-dependent buffers from a sample of the training data, once, before training."""
