"""Observation encoders by name."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from parrot_wrapper.checks import require_instance
from parrot_wrapper.errors import require_known
from parrot_wrapper.priors.encoders.base import ActingEncoder, Encoder, ObservationTensors
from parrot_wrapper.priors.encoders.cameras import CamerasEncoder, alone, seen_in
from parrot_wrapper.priors.encoders.convolutional import ConvolutionalEncoder
from parrot_wrapper.priors.encoders.image_encoder import BackboneEncoder
from parrot_wrapper.priors.encoders.keypoints import KeypointEncoder
from parrot_wrapper.priors.encoders.residual import ResidualEncoder
from parrot_wrapper.priors.encoders.state import NothingEncoder, StateEncoder
from parrot_wrapper.priors.registry import ENCODERS
from parrot_wrapper.priors.trainable import DataShapes
from parrot_wrapper.types import Demonstrations, ObservationSpec


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
    common, own = _by_camera(observation, options)
    return CamerasEncoder(
        observation, lambda image, seen: _one(name, seen, {**common, **own[image]})
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


def sight_of(
    name: str,
    data: DataShapes,
    left_out: Collection[str],
    image_keys: Collection[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What a new prior with an encoder of its own looks at, and that encoder with its options.

    Args:
        name: Of the encoder; "auto" is "state".
        data: What it is to learn from; all of its parts that the encoder reads are looked at.
        left_out: But for these.
        image_keys: Which images; all where there are none.
        options: Those of the encoder that are given.
    """
    name = "state" if name == "auto" else name
    spec, reads = data.observation_spec, parts_read(name)
    require_known("image", image_keys, spec.images)
    images = image_keys or spec.images if "image" in reads else ()
    vectors = [part for part in reads if part != "image" and part not in left_out]
    seen = spec.only([*images, *vectors]) if reads else spec
    found = encoder_options(name, data, seen, options)
    return {"observation": seen, "encoder": name, "encoder_options": found}


def encoder_options(
    name: str, data: Demonstrations, observation: ObservationSpec, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Options for a new encoder called `name` that is to learn from `data`.

    Raises:
        UnknownNameError: No such encoder or camera; the nearest is named.
    """
    if not one_for_each_camera(name, observation):
        return _options_of_one(name, data, observation, options)
    common, own = _by_camera(observation, options)
    for image, given in own.items():
        found = _options_of_one(
            name, seen_in(image, data, observation), alone(image, observation), {**common, **given}
        )
        own[image] = {k: v for k, v in found.items() if k not in common or common[k] != v}
    named = {image: options for image, options in own.items() if options}
    return {**common, **({"cameras": named} if named else {})}


def _options_of_one(
    name: str, data: Demonstrations, observation: ObservationSpec, options: Mapping[str, Any]
) -> dict[str, Any]:
    make = ENCODERS.get(name)
    ours = isinstance(make, type) and issubclass(make, Encoder)
    return make.options_for(data, observation, options) if ours else dict(options)


def _by_camera(
    observation: ObservationSpec, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What the encoders of all cameras have in common, and options of each."""
    common, own = dict(options), options.get("cameras", {})
    common.pop("cameras", None)
    require_instance("cameras", own, Mapping, "a mapping from names of images to options")
    require_known("camera", own, observation.images)
    return common, {image: dict(own.get(image, {})) for image in observation.images}


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
    "KeypointEncoder",
    "NothingEncoder",
    "ObservationTensors",
    "ResidualEncoder",
    "StateEncoder",
    "build_encoder",
    "parts_read",
]
