"""Several cameras: an encoder of one image for each, with weights of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from parrot_wrapper.priors.encoders.base import ActingEncoder, Encoder, ObservationTensors
from parrot_wrapper.types import Demonstrations, FloatArray, ObservationSpec

_Value = TypeVar("_Value")


class CamerasEncoder(Encoder):
    """Runs an encoder of one image once for each camera, and joins what they make, in order.

    Each is what it would be if its image were the only one: it is given that as "image", and all
    else that there is, proprioception too. Features, and what the flow is conditioned on, are
    theirs one after the other, in the order of `ObservationSpec.images`. Losses of a camera are
    called CAMERA/LOSS.

    Args:
        observation: With one image or more.
        make: The encoder of one image, for its name and such observations.

    Raises:
        InvalidArgumentError: An encoder cannot look at such observations.
    """

    several_images = True
    cameras: nn.ModuleList

    def __init__(
        self, observation: ObservationSpec, make: Callable[[str, ObservationSpec], Encoder]
    ) -> None:
        parts = [make(name, alone(name, observation)) for name in observation.images]
        self.name, self.reads = parts[0].name, parts[0].reads  # type: ignore[misc]
        super().__init__(
            observation,
            feature_dim=sum(part.feature_dim for part in parts),
            context_dim=sum(part.context_dim for part in parts),
        )
        self.cameras = nn.ModuleList(parts)

    def forward(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        return torch.cat([part(self._seen(name, obs)) for name, part in self._parts()], dim=1)

    def context(self, features: Tensor) -> Tensor:
        """What the flow is conditioned on, (B, context_dim), from features (B, F)."""
        return _contexts(self._encoders(), features, self._lengths())

    def for_acting(self) -> ActingEncoder:
        """The quickest form of each."""
        return _ActingCameras(self)

    def augment(self, obs: ObservationTensors, generator: torch.Generator) -> ObservationTensors:
        """Images as each camera's encoder sees them in training."""
        changed = {
            name: part.augment(self._seen(name, obs), generator)["image"]
            for name, part in self._parts()
        }
        return {**obs, **changed}

    def training_features(self, obs: ObservationTensors) -> tuple[Tensor, dict[str, Tensor]]:
        """Features (B, F), and what each camera's losses need, as CAMERA/NAME."""
        features, intermediates = [], dict[str, Tensor]()
        for name, part in self._parts():
            made, own = part.training_features(self._seen(name, obs))
            features.append(made)
            intermediates |= {f"{name}/{key}": value for key, value in own.items()}
        return torch.cat(features, dim=1), intermediates

    @classmethod
    def options_for(
        cls, data: Demonstrations, observation: ObservationSpec, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Those of the encoder of one image, which is asked for each: see `encoder_options`."""
        return dict(options)

    def labels(self, data: Demonstrations) -> dict[str, FloatArray]:
        """What each camera's losses learn from, as CAMERA/LABEL."""
        labels: dict[str, FloatArray] = {}
        for name, part in self._parts():
            found = part.labels(seen_in(name, data, self.observation))
            labels |= {f"{name}/{key}": value for key, value in found.items()}
        return labels

    def lessons(self, data: Demonstrations) -> list[str]:
        """What each camera's encoder learns from."""
        return [
            f"{name}: {line}"
            for name, part in self._parts()
            for line in part.lessons(seen_in(name, data, self.observation))
        ]

    def gaps(self, data: Demonstrations) -> list[str]:
        """What the data lack for each camera's encoder."""
        return [
            f"{name}: {line}"
            for name, part in self._parts()
            for line in part.gaps(seen_in(name, data, self.observation))
        ]

    def auxiliary_losses(
        self,
        intermediates: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Those of each camera's encoder, as CAMERA/LOSS."""
        losses: dict[str, Tensor] = {}
        for name, part in self._parts():
            start = f"{name}/"
            own = {
                key.removeprefix(start): value
                for key, value in intermediates.items()
                if key.startswith(start)
            }
            found = part.auxiliary_losses(own, self._seen(name, batch), generator)
            losses |= {f"{start}{key}": value for key, value in found.items()}
        return losses

    def perturb(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Features (B, F) as the flow sees them in training, by each camera's encoder."""
        split = torch.split(features, self._lengths(), dim=1)
        pairs = zip(self._encoders(), split, strict=True)
        return torch.cat([part.perturb(own, generator) for part, own in pairs], dim=1)

    @torch.no_grad()
    def initialise(self, obs: ObservationTensors) -> None:
        """Set what each camera's encoder takes from the data."""
        for name, part in self._parts():
            part.initialise(self._seen(name, obs))

    def _encoders(self) -> list[Encoder]:
        return [part for part in self.cameras if isinstance(part, Encoder)]

    def _parts(self) -> list[tuple[str, Encoder]]:
        return list(zip(self.observation.images, self._encoders(), strict=True))

    def _lengths(self) -> list[int]:
        return [part.feature_dim for part in self._encoders()]

    def _seen(self, camera: str, batch: Mapping[str, _Value]) -> dict[str, _Value]:
        return seen_by(camera, batch, self.observation)


class _ActingCameras:
    """The forms for acting of each camera's encoder."""

    def __init__(self, encoder: CamerasEncoder) -> None:
        self._observation, self._lengths = encoder.observation, encoder._lengths()
        self._forms = {name: part.for_acting() for name, part in encoder._parts()}

    def __call__(self, obs: ObservationTensors) -> Tensor:
        """Features (B, F)."""
        made = [form(seen_by(n, obs, self._observation)) for n, form in self._forms.items()]
        return torch.cat(made, dim=1)

    def context(self, features: Tensor) -> Tensor:
        """What the flow is conditioned on, (B, context_dim), from features (B, F)."""
        return _contexts(list(self._forms.values()), features, self._lengths)


def seen_by(
    camera: str, batch: Mapping[str, _Value], observation: ObservationSpec
) -> dict[str, _Value]:
    """A batch as it is where this camera is the only one: its images are called "image".

    What is of a camera alone, CAMERA/NAME, is called NAME.
    """
    images = observation.images
    own, others = f"{camera}/", tuple(f"{name}/" for name in images)
    shared = {k: v for k, v in batch.items() if k not in images and not k.startswith(others)}
    found = {k.removeprefix(own): v for k, v in batch.items() if k.startswith(own)}
    return {**shared, **found, "image": batch[camera]}


def alone(camera: str, observation: ObservationSpec) -> ObservationSpec:
    """What there is to look at where this camera is the only one."""
    return replace(observation, image=observation.images[camera], cameras={})


def seen_in(camera: str, data: Demonstrations, observation: ObservationSpec) -> Demonstrations:
    """Demonstrations as they are where this camera is the only one; nothing is copied."""
    view = copy.copy(data)
    view.observations = seen_by(camera, data.observations, observation)
    return view


def _contexts(parts: Sequence[ActingEncoder], features: Tensor, lengths: list[int]) -> Tensor:
    split = torch.split(features, lengths, dim=1)
    pairs = zip(parts, split, strict=True)
    return torch.cat([part.context(own) for part, own in pairs], dim=1)
