"""Every disagreement between an env and a prior is found, and all are told at once."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.types import ActionPrior, ObservationSpec
from tests.helpers import CAMERA, IMAGE_SHAPE, SPECS, AffinePrior

IMAGE = Box(0, 255, IMAGE_SHAPE, np.uint8)
PROPRIO = Box(-1, 1, (4,), np.float32)
ACTION = Box(-1, 1, (2,), np.float32)
PRIORS = {
    "image": AffinePrior(),
    "state": AffinePrior(ObservationSpec(state=4)),
    "dict": AffinePrior(SPECS["dict"]),
}


class Spaces(gym.Env):
    """An env of these spaces and this camera; only they matter."""

    def __init__(self, seen=IMAGE, action=ACTION, camera=None):
        self.observation_space, self.action_space = seen, action
        if camera is not None:
            self.camera_spec = lambda: camera


def wrap(prior, *spaces, observation="image", **camera):
    return BehavioralPriorWrapper(Spaces(*spaces, **camera), prior, observation=observation)


def test_latents_are_exactly_the_unit_box():
    assert all(isinstance(prior, ActionPrior) for prior in PRIORS.values())
    assert wrap(PRIORS["image"]).action_space == ACTION


def test_every_mismatch_is_listed_at_once():
    prior = AffinePrior(SPECS["dict"], metadata={"camera": {**CAMERA, "fov": 30.0}})
    seen = Dict(image=Box(0, 1, (64, 64, 3), np.float32))
    with pytest.raises(SpaceMismatchError) as caught:
        wrap(prior, seen, Box(-2, 2, (2,), np.float32), camera={**CAMERA, "fov": 45.0, "size": 64})
    message = str(caught.value)
    for expected in [
        r"image",
        "expected an image (40, 44, 3), or channels first (3, 40, 44), got shape (64, 64, 3)",
        "observation['proprio']: expected the proprio, got the keys image",
        "action: expected the low bound [-1.0, -1.0]",
        "action: expected the high bound [1.0, 1.0] of the prior's training env, got [2.0, 2.0]",
        "camera fov: expected 30.0 as in the prior's data, got 45.0",
        "camera size: expected 40 as in the prior's data, got 64",
    ]:
        assert expected in message
    assert message.count("\n  - ") == 6


@pytest.mark.parametrize(
    ("prior", "seen", "message"),
    [
        ("image", Box(0, 255, (40, 3, 44), np.uint8), "channels are in the middle"),
        ("image", Box(0, 255, (40, 44, 12), np.uint8), "got shape (40, 44, 12)"),
        ("image", Box(0, 1, IMAGE_SHAPE, np.uint8), "expected pixels 0 to 255, got 0 to 1"),
        ("image", Box(-np.inf, 255, IMAGE_SHAPE, np.float32), "TransformObservation states them"),
        ("image", Discrete(3), "got Discrete(3)"),
        ("image", Dict(pixels=IMAGE), "['image']: expected the image, got the keys pixels"),
        ("state", Box(-1, 1, (5,), np.float32), "the state of shape (4,), got shape (5,)"),
        ("state", Box(0, 9, (4,), np.int64), "expected the state in float32, got int64"),
        ("state", Discrete(3), "expected the state, a float Box (4,), got Discrete(3)"),
        ("state", Dict(image=IMAGE), "['state']: expected the state, got the keys image"),
        ("dict", IMAGE, "proprio: expected beside the image in a Dict observation"),
    ],
)
def test_observations_that_do_not_fit(prior, seen, message):
    with pytest.raises(SpaceMismatchError) as caught:
        wrap(PRIORS[prior], seen)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Discrete(4), "action: expected a Box (2,), got Discrete(4)"),
        (Box(-1, 1, (7,), np.float32), "action: expected shape (2,), got shape (7,)"),
        (Box(-1, 1, (2,), np.int64), "action: expected dtype float32, got int64"),
    ],
)
def test_actions_that_do_not_fit(action, message):
    with pytest.raises(SpaceMismatchError) as caught:
        wrap(PRIORS["image"], IMAGE, action)
    assert message in str(caught.value)


def test_cameras_are_compared_only_where_both_exist():
    known = AffinePrior(metadata={"camera": CAMERA})
    wrap(known)
    wrap(PRIORS["image"], camera=CAMERA)
    wrap(known, camera={**CAMERA, "eye": [0.0, 0.0, 1.0]})


def test_an_env_may_randomize_what_the_data_did_and_is_warned_about_more():
    prior = AffinePrior(metadata={"camera": {**CAMERA, "randomize": ["camera", "light"]}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fine in ({}, {"randomize": ["light"]}, {"randomize": ("camera", "light")}):
            wrap(prior, camera={**CAMERA, **fine})
    strange = {**CAMERA, "randomize": ["light", "colors"]}
    with pytest.warns(UserWarning, match="randomizes colors, which the prior's data did not"):
        wrap(prior, camera=strange)
    with pytest.warns(UserWarning, match="randomizes colors, light, which"):
        wrap(AffinePrior(metadata={"camera": CAMERA}), camera=strange)


def test_a_latent_drives_at_least_one_step():
    with pytest.raises(InvalidArgumentError, match="at least one env step, got horizon 0"):
        wrap(AffinePrior(horizon=0))


def test_a_key_called_features_is_in_the_way_of_both():
    space = Dict(image=IMAGE, features=PROPRIO)
    with pytest.raises(SpaceMismatchError, match="without a key 'features'"):
        wrap(PRIORS["image"], space, observation="both")
    assert isinstance(wrap(PRIORS["image"], space, observation="features").observation_space, Box)
