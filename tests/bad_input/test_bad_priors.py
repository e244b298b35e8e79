"""Priors asked for what they are not, and given what they cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from parrot_wrapper import (
    FlowPrior,
    FlowPriorConfig,
    ObservationSpec,
    load_prior,
)
from parrot_wrapper.errors import (
    CheckpointError,
    InvalidArgumentError,
    LatentError,
    ParrotError,
    SpaceMismatchError,
    UnknownNameError,
)
from parrot_wrapper.priors import (
    CVAEPrior,
    CVAEPriorConfig,
    TrajectoryVAEPriorConfig,
    VAEFeaturesConfig,
)
from parrot_wrapper.priors.encoders import build_encoder
from parrot_wrapper.rl.cloned_actor import load_cloned_actor
from tests.bad_input.mistakes import (
    NOWHERE,
    STATE,
    STATES,
    Table,
    cases,
    check,
    prior,
)

IMAGES, TWO = np.zeros((2, 8, 12, 3), np.uint8), np.zeros((2, 2), np.float32)


def both(obs: Any) -> Any:
    spec = ObservationSpec(image=(8, 12, 3), proprio=2)
    return FlowPrior(FlowPriorConfig(spec, 3, "convolutional", hidden=8)).features(obs)


def encoder(name: str, **options: Any) -> Any:
    return build_encoder(name, ObservationSpec(image=(48, 48, 3)), options)


def from_dict(**changes: Any) -> FlowPriorConfig:
    return FlowPriorConfig.from_dict({**FlowPriorConfig(STATE, 2).to_dict(), **changes})


TABLE: Table = {
    UnknownNameError: [
        ("no such prior", lambda: load_prior("pior-v0"), "Did you mean 'parrot-v0'"),
        ("no such encoder", lambda: FlowPrior(FlowPriorConfig(STATE, 2, "stat")), "'state'"),
        ("no such option", lambda: encoder("convolutional", chanels=3), "'channels'"),
        ("no such setting", lambda: from_dict(hiden=3), "Did you mean 'hidden'"),
        ("no such part", lambda: from_dict(observation={"images": None}), "key 'images'"),
    ],
    ParrotError: [
        ("an empty name", lambda: load_prior(""), "prior"),
    ],
    InvalidArgumentError: [
        ("None as a prior", lambda: load_prior(None), "folder.*None"),
        ("a number as a prior", lambda: load_prior(7), "folder.*7"),
        ("no such device", lambda: load_prior("parrot-v0", device="gpu"), "gpu"),
        ("JSON of a function", lambda: prior(encoder_options={"a": len}), "JSON-able"),
        ("one coupling", lambda: prior(coupling_layers=1), "coupling_layers.*at least 2"),
        ("no scale", lambda: prior(log_scale_bound=0.0), "log_scale_bound must be positive"),
        ("an endless scale", lambda: prior(log_scale_bound=np.inf), "positive and finite"),
        ("an empty box", lambda: prior(action_low=(-1, 1), action_high=(1, 1)), "in dimension 1"),
        ("a negative state", lambda: FlowPriorConfig(ObservationSpec(state=-1), 2), "state"),
        ("text as observation", lambda: from_dict(observation=3), "must be a mapping"),
        ("a number as bounds", lambda: from_dict(action_low=3), "tuple of numbers, got 3"),
        ("half a config", lambda: FlowPriorConfig.from_dict({}), r"lacks the key"),
        ("no latents", lambda: TrajectoryVAEPriorConfig(STATE, 2, latent_dim=0), "latent_dim"),
        ("an empty width", lambda: CVAEPriorConfig(STATE, 2, widths=(8, 0)), "every width"),
        ("no beta", lambda: CVAEPriorConfig(STATE, 2, beta=0.0), "beta must be positive"),
        ("another kind's config", lambda: CVAEPrior(FlowPriorConfig(STATE, 2)), "CVAEPriorConfig"),
        ("features of states", lambda: VAEFeaturesConfig(STATE, 2, encoder="state"), "'residual'"),
        *((f"{name} of {value}", lambda o={name: value}: encoder("structured", **o), name)
          for name, value in [("slots", 1), ("channels", 4), ("sharpness", 0.0),
                              ("feature_noise", -0.1)]),
        ("odd pixels", lambda: encoder("convolutional", pixel_unshuffle=3), "must be 1 or 2"),
        ("images as state", lambda: encoder("state"), "needs a state vector"),
        *((f"{kind} of {spec}", lambda k=kind, s=spec: build_encoder(k, s, {}), "images|pixels")
          for kind in ("structured", "convolutional", "residual")
          for spec in (ObservationSpec(state=3), ObservationSpec(image=(10, 2, 3)))),
        ("no dimensions", lambda: FlowPriorConfig(STATE, 0), "action_dim.*got 0"),
        ("text as dimensions", lambda: FlowPriorConfig(STATE, "2"), "got '2'"),
        ("a true dimension", lambda: FlowPriorConfig(STATE, True), "got True"),
        ("nothing to look at", lambda: FlowPriorConfig(ObservationSpec(), 2), "empty"),
        ("a tuple for a spec", lambda: FlowPriorConfig((48, 48, 3), 2), "ObservationSpec"),
        ("a flat image", lambda: FlowPriorConfig(ObservationSpec(image=(48, 48)), 2), "H, W, C"),
        ("an image of one number", lambda: FlowPriorConfig(ObservationSpec(image=48), 2),
         "H, W, C"),
        ("one bound of two", lambda: FlowPriorConfig(STATE, 2, action_low=(-1.0,)), "length 2"),
        ("text as bounds", lambda: FlowPriorConfig(STATE, 2, action_low="ab"), "action_low"),
        ("an infinite box", lambda: prior(action_high=(np.inf, 1)), "finite"),
        ("text as width", lambda: FlowPriorConfig(STATE, 2, hidden="8"), "got '8'"),
        ("text as a scale", lambda: prior(log_scale_bound="3"), "got '3'"),
        ("options as a list", lambda: prior(encoder_options=[1]), "encoder_options"),
        ("an encoder for images", lambda: FlowPrior(FlowPriorConfig(STATE, 2)), "image"),
        ("a mapping as config", lambda: FlowPrior({"action_dim": 2}), "FlowPriorConfig"),
        ("no widths", lambda: CVAEPriorConfig(STATE, 2, widths=()), "widths"),
        ("text as widths", lambda: CVAEPriorConfig(STATE, 2, widths="8"), "width"),
        ("no horizon", lambda: TrajectoryVAEPriorConfig(STATE, 2, horizon=0), "horizon"),
        ("actions of three", lambda: prior().log_prob(np.zeros((1, 3)), STATES[:1]), r"\(B, 2\)"),
        ("features of three", lambda: prior().decode_features(np.zeros((1, 2)), np.zeros((1, 3))),
         "features"),
    ],
    CheckpointError: [
        ("no folder there", lambda: load_prior(NOWHERE), "no such folder"),
        ("no actor there", lambda: load_cloned_actor(NOWHERE), "no such file"),
    ],
    LatentError: [
        ("flat noise", lambda: prior().decode(np.zeros(2), STATES[:1]), "batch axis"),
        ("noise of three", lambda: prior().decode(np.zeros((1, 3)), STATES[:1]), r"\(B, 2\)"),
    ],
    SpaceMismatchError: [
        ("more noise than states", lambda: prior().decode(np.zeros((2, 2)), STATES[:1]),
         "row for each"),
        ("flat states", lambda: prior().features(STATES[0]), r"\(B, 4\)"),
        ("states as bytes", lambda: prior().features(STATES.astype(np.uint8)), "float32"),
        ("a part that lacks", lambda: both({"image": IMAGES}), "proprio: expected .* got none"),
        ("channels in front", lambda: both({"image": IMAGES.reshape(2, 3, 8, 12), "proprio": TWO}),
         r"image: .*\(2, 3, 8, 12\) uint8"),
        ("parts of two widths", lambda: both({"image": IMAGES, "proprio": STATES[:2]}),
         r"proprio: expected shape \(B, 2\) .*\(2, 4\)"),
        ("images as floats", lambda: both({"image": IMAGES / 2, "proprio": TWO}),
         "image: expected .* uint8, got .* float64"),
        ("parts of two sizes", lambda: both({"image": IMAGES, "proprio": TWO[:1]}), "batch sizes"),
        ("one part for two", lambda: both(IMAGES), "mapping with the keys image, proprio"),
        ("other keys", lambda: prior().features({"image": STATES}), "got none"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), cases(TABLE))
def test_mistakes(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    check(call, error, message)
