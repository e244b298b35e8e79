"""Every disagreement between an env and a prior is found, and all are told at once."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError, UnknownNameError
from parrot_wrapper.types import ActionPrior, ObservationSpec
from parrot_wrapper.wrappers.spaces import (
    agent_space,
    agent_view,
    check_agent_observation,
    check_spaces,
    latent_space,
)
from tests.helpers import CAMERA, IMAGE_SHAPE, SPECS, AffinePrior, EchoEnv

IMAGE = Box(0, 255, IMAGE_SHAPE, np.uint8)
PROPRIO = Box(-1, 1, (4,), np.float32)
ACTION = Box(-1, 1, (2,), np.float32)


def problems(observation_space, action_space=ACTION, prior=None, **options):
    with pytest.raises(SpaceMismatchError) as caught:
        check_spaces(observation_space, action_space, prior or AffinePrior(), **options)
    return str(caught.value)


def test_the_toy_prior_is_a_prior():
    assert isinstance(AffinePrior(), ActionPrior)


@pytest.mark.parametrize("kind", SPECS)
def test_reader_brings_observations_to_the_prior(kind):
    env, prior = EchoEnv(kind), AffinePrior(SPECS[kind])
    reader = check_spaces(env.observation_space, env.action_space, prior)
    observation, _ = env.reset(seed=0)
    if kind == "dict":
        batch = {key: np.stack([part, part]) for key, part in observation.items()}
        assert set(reader(batch)) == {"image", "proprio"}
    else:
        batch = np.stack([observation, observation])
    assert prior.features(reader(batch)).shape == (2, prior.feature_dim)


def test_channels_first_images_are_turned():
    turned = np.moveaxis(np.arange(np.prod(IMAGE_SHAPE)).reshape(IMAGE_SHAPE) % 251, -1, 0)
    turned = turned.astype(np.uint8)
    space = Box(0, 255, turned.shape, np.uint8)
    read = check_spaces(space, ACTION, AffinePrior())(turned[None])
    np.testing.assert_array_equal(read[0], np.moveaxis(turned, 0, -1))


def test_a_prior_of_images_takes_the_image_of_a_dict():
    reader = check_spaces(
        Dict(camera=IMAGE, proprio=PROPRIO), ACTION, AffinePrior(), image_key="camera"
    )
    image = np.zeros((1, *IMAGE_SHAPE), np.uint8)
    assert reader({"camera": image, "proprio": np.zeros((1, 4))}) is image


def test_states_in_float64_are_read_as_float32():
    space = Box(-np.inf, np.inf, (4,), np.float64)
    reader = check_spaces(space, ACTION, AffinePrior(ObservationSpec(state=4)))
    assert reader(np.zeros((1, 4))).dtype == np.float32


def test_every_mismatch_is_listed_at_once():
    prior = AffinePrior(SPECS["dict"], metadata={"camera": {**CAMERA, "fov": 30.0}})
    message = problems(
        Dict(image=Box(0, 1, (64, 64, 3), np.float32)),
        Box(-2, 2, (2,), np.float32),
        prior,
        cameras=[{**CAMERA, "fov": 45.0, "size": 64}],
    )
    for expected in [
        r"image",
        "expected a uint8 image (40, 44, 3), or channels first (3, 40, 44), got shape (64, 64, 3)",
        "expected dtype uint8, got float32",
        "observation['proprio']: expected the proprio, got the keys image",
        "action: expected the low bound [-1.0, -1.0]",
        "action: expected the high bound [1.0, 1.0] of the prior's training env, got [2.0, 2.0]",
        "camera fov: expected 30.0 as in the prior's data, got 45.0",
        "camera size: expected 40 as in the prior's data, got 64",
    ]:
        assert expected in message
    assert message.count("\n  - ") == 7


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Box(0, 255, (40, 3, 44), np.uint8), "channels are in the middle"),
        (Box(0, 255, (40, 44, 12), np.uint8), "got shape (40, 44, 12)"),
        (Box(0, 1, IMAGE_SHAPE, np.uint8), "expected pixels 0 to 255, got 0 to 1"),
        (Box(0, 255, IMAGE_SHAPE, np.float32), "expected dtype uint8, got float32"),
        (Discrete(3), "got Discrete(3)"),
        (Dict(pixels=IMAGE), "observation['image']: expected the image, got the keys pixels"),
    ],
)
def test_images_that_do_not_fit(space, message):
    assert message in problems(space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Box(-1, 1, (5,), np.float32), "expected the state of shape (4,), got shape (5,)"),
        (Box(0, 9, (4,), np.int64), "expected the state in float32, got int64"),
        (Discrete(3), "expected the state, a float Box (4,), got Discrete(3)"),
        (Dict(image=IMAGE), "observation['state']: expected the state, got the keys image"),
    ],
)
def test_states_that_do_not_fit(space, message):
    assert message in problems(space, prior=AffinePrior(ObservationSpec(state=4)))


def test_proprioception_needs_a_dict():
    message = problems(IMAGE, prior=AffinePrior(SPECS["dict"]))
    assert "proprio: expected beside the image in a Dict observation" in message


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Discrete(4), "action: expected a Box (2,), got Discrete(4)"),
        (Box(-1, 1, (7,), np.float32), "action: expected shape (2,), got shape (7,)"),
        (Box(-1, 1, (2,), np.int64), "action: expected dtype float32, got int64"),
    ],
)
def test_actions_that_do_not_fit(space, message):
    assert message in problems(IMAGE, space)


def test_cameras_are_compared_only_where_both_exist():
    known = AffinePrior(metadata={"camera": CAMERA})
    check_spaces(IMAGE, ACTION, known)
    check_spaces(IMAGE, ACTION, AffinePrior(), cameras=[CAMERA])
    check_spaces(IMAGE, ACTION, known, cameras=[{**CAMERA, "eye": [0.0, 0.0, 1.0]}])
    message = problems(IMAGE, prior=known, cameras=[{**CAMERA, "size": 64}] * 3)
    assert message.count("camera size") == 1


def test_an_env_may_randomize_what_the_data_did_and_is_warned_about_more():
    prior = AffinePrior(metadata={"camera": {**CAMERA, "randomize": ["camera", "light"]}})
    for fine in ({}, {"randomize": ["light"]}, {"randomize": ("camera", "light")}):
        check_spaces(IMAGE, ACTION, prior, cameras=[{**CAMERA, **fine}])
    strange = {**CAMERA, "randomize": ["light", "colors"]}
    with pytest.warns(UserWarning, match="randomizes colors, which the prior's data did not"):
        check_spaces(IMAGE, ACTION, prior, cameras=[strange])
    with pytest.warns(UserWarning, match="randomizes colors, light, which"):
        check_spaces(IMAGE, ACTION, AffinePrior(metadata={"camera": CAMERA}), cameras=[strange])


def test_a_latent_drives_at_least_one_step():
    check_spaces(IMAGE, ACTION, AffinePrior(horizon=10))
    with pytest.raises(InvalidArgumentError, match="at least one env step, got horizon 0"):
        check_spaces(IMAGE, ACTION, AffinePrior(horizon=0))


def test_latent_space_is_exactly_the_unit_box():
    assert latent_space(AffinePrior(action_dim=7)) == Box(-1, 1, (7,), np.float32)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("hwc", ["image"]), ("state", ["state"]), ("dict", ["image", "proprio"])],
)
def test_agent_sees_both(kind, keys):
    env, prior = EchoEnv(kind), AffinePrior(SPECS[kind])
    reader = check_spaces(env.observation_space, env.action_space, prior)
    space = agent_space(env.observation_space, prior, reader, "both")
    assert sorted(space.spaces) == sorted([*keys, "features"])
    features = np.zeros(prior.feature_dim, np.float32)
    seen = agent_view(env.reset(seed=0)[0], features, reader, "both")
    assert space.contains(seen)
    assert not np.shares_memory(seen["features"], features)


def test_a_key_called_features_is_in_the_way_of_both():
    space = Dict(image=IMAGE, features=PROPRIO)
    reader = check_spaces(space, ACTION, AffinePrior())
    with pytest.raises(SpaceMismatchError, match="without a key 'features'"):
        agent_space(space, AffinePrior(), reader, "both")
    assert isinstance(agent_space(space, AffinePrior(), reader, "features"), gym.spaces.Box)


def test_unknown_observation_names_the_nearest():
    assert check_agent_observation("both") == "both"
    with pytest.raises(UnknownNameError, match="'feature'. Did you mean 'features'"):
        check_agent_observation("feature")
