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
from parrot_wrapper.priors import CVAEPriorConfig, TrajectoryVAEPriorConfig
from parrot_wrapper.rl.cloned_actor import load_cloned_actor
from tests.bad_input.mistakes import (
    NOWHERE,
    STATE,
    STATES,
    Table,
    cases,
    check,
    nan,
    prior,
)

TABLE: Table = {
    UnknownNameError: [
        ("no such prior", lambda: load_prior("pior-v0"), "Did you mean 'parrot-v0'"),
        ("no such encoder", lambda: FlowPrior(FlowPriorConfig(STATE, 2, "stat")), "'state'"),
    ],
    ParrotError: [
        ("an empty name", lambda: load_prior(""), "prior"),
    ],
    InvalidArgumentError: [
        ("None as a prior", lambda: load_prior(None), "folder.*None"),
        ("a number as a prior", lambda: load_prior(7), "folder.*7"),
        ("no such device", lambda: load_prior("parrot-v0", device="gpu"), "gpu"),
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
        ("NaN actions", lambda: prior().encode([[np.nan, 0]], STATES[:1]), "finite"),
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
        ("NaN noise", lambda: prior().decode([[np.nan, 0]], STATES[:1]), "finite"),
        ("text as noise", lambda: prior().decode([["a", "b"]], STATES[:1]), "float32"),
        ("ragged noise", lambda: prior().decode([[1], [1, 2]], STATES[:2]), "numbers"),
        ("noise of three", lambda: prior().decode(np.zeros((1, 3)), STATES[:1]), r"\(B, 2\)"),
    ],
    SpaceMismatchError: [
        ("more noise than states", lambda: prior().decode(np.zeros((2, 2)), STATES[:1]),
         "row for each"),
        ("flat states", lambda: prior().features(STATES[0]), r"\(B, 4\)"),
        ("states as bytes", lambda: prior().features(STATES.astype(np.uint8)), "float32"),
        ("NaN in states", lambda: prior().features(nan(STATES)), "finite"),
        ("ragged states", lambda: prior().features([[1], [1, 2]]), "state"),
        ("None as states", lambda: prior().features(None), "state"),
        ("other keys", lambda: prior().features({"image": STATES}), "got none"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), cases(TABLE))
def test_mistakes(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    check(call, error, message)
