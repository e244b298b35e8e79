"""Observation encoders by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from parrot_wrapper.checks import require_instance
from parrot_wrapper.errors import require_known
from parrot_wrapper.moved import moved_name
from parrot_wrapper.priors.encoders.backbone import BackboneEncoder
from parrot_wrapper.priors.encoders.base import ActingEncoder, Encoder, ObservationTensors
from parrot_wrapper.priors.encoders.cameras import CamerasEncoder
from parrot_wrapper.priors.encoders.convolutional import ConvolutionalEncoder
from parrot_wrapper.priors.encoders.residual import ResidualEncoder
from parrot_wrapper.priors.encoders.state import StateEncoder
from parrot_wrapper.priors.registry import ENCODERS
from parrot_wrapper.types import ObservationSpec


def build_encoder(name: str, observation: ObservationSpec, options: Mapping[str, Any]) -> Encoder:
    """Make the encoder called `name`; where it sees one image of several, one for each camera.

    Args:
        name: Of the encoder.
        observation: What there is to look at.
        options: Its options; with several cameras the same for each, but for those under
            "cameras": a mapping from names of images to options.

    Raises:
        UnknownNameError: No such encoder or camera, or it has no such option; the nearest is named.
        InvalidArgumentError: The encoder cannot look at such observations.
    """
    if not one_for_each_camera(name, observation):
        return _one(name, observation, options)
    common = {key: value for key, value in options.items() if key != "cameras"}
    own = options.get("cameras", {})
    require_instance("cameras", own, Mapping, "a mapping from names of images to options")
    require_known("camera", own, observation.images)
    return CamerasEncoder(
        observation, lambda image, seen: _one(name, seen, {**common, **own.get(image, {})})
    )


def one_for_each_camera(name: str, observation: ObservationSpec) -> bool:
    """Whether the encoder called `name` looks at one image, and there are others than "image"."""
    several = getattr(ENCODERS.get(name), "several_images", False)
    return bool(observation.cameras) and "image" in parts_read(name) and not several


def _one(name: str, observation: ObservationSpec, options: Mapping[str, Any]) -> Encoder:
    make: Any = ENCODERS.get(name)
    ours = isinstance(make, type) and issubclass(make, Encoder)
    parameters = inspect.signature(make).parameters.values()
    keywords = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    known = keywords if ours else [p.name for p in parameters]
    require_known(f"option of the {name} encoder", options, known)
    if not ours:
        return BackboneEncoder(observation, name=name, module=make(**options))
    encoder: Encoder = make(observation, **options)
    return encoder


def parts_read(name: str) -> tuple[str, ...]:
    """The parts of an `ObservationSpec` that the encoder called `name` looks at.

    Raises:
        UnknownNameError: No such encoder; the nearest is named.
    """
    make = ENCODERS.get(name)
    ours = isinstance(make, type) and issubclass(make, Encoder)
    return make.reads if ours else BackboneEncoder.reads


def for_acting(encoder: Encoder) -> ActingEncoder:
    """The quickest form of an encoder on one or a few observations, on the CPU, in float32."""
    return encoder.for_acting()


__all__ = [
    "ENCODERS",
    "BackboneEncoder",
    "CamerasEncoder",
    "ConvolutionalEncoder",
    "Encoder",
    "ObservationTensors",
    "ResidualEncoder",
    "StateEncoder",
    "build_encoder",
    "parts_read",
]


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
