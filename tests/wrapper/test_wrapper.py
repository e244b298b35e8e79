"""The Gymnasium wrapper: what is executed, what is seen, what is refused, and both checkers."""

import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from stable_baselines3.common.env_checker import check_env as check_with_sb3

from parrot_wrapper import (
    BehavioralPriorWrapper,
    FlowPrior,
    FlowPriorConfig,
)
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.latent import BoxChart, GaussianChart
from tests.helpers import SPECS, AffinePrior, EchoEnv

KINDS = pytest.mark.parametrize("kind", SPECS)
MODES = pytest.mark.parametrize("mode", ["image", "features", "both"])


def wrap(kind="hwc", *, scale=0.2, **options):
    return BehavioralPriorWrapper(EchoEnv(kind), AffinePrior(SPECS[kind], scale=scale), **options)


def batched(observation):
    if isinstance(observation, dict):
        return {key: part[None] for key, part in observation.items()}
    return observation[None]


@pytest.fixture
def registered(tmp_path):
    """An env id, and the folder of a prior for it."""
    gym.register("ParrotTestEcho-v0", entry_point="tests.helpers:EchoEnv", max_episode_steps=3)
    folder = tmp_path / "prior"
    FlowPrior(FlowPriorConfig(SPECS["hwc"], action_dim=2, encoder="convolutional")).save(folder)
    yield "ParrotTestEcho-v0", folder
    gym.registry.pop("ParrotTestEcho-v0")


@KINDS
@MODES
def test_executes_what_the_prior_decodes(kind, mode):
    env = wrap(kind, observation=mode)
    bare, prior = EchoEnv(kind), AffinePrior(SPECS[kind])
    _, info = env.reset(seed=3)
    seen, _ = bare.reset(seed=3)
    assert info["is_success"] is False and info["parrot/clipped"] is False
    assert not info["parrot/action"].any() and not info["parrot/latent"].any()
    for u in np.random.default_rng(0).uniform(-1, 1, (4, 2)).astype(np.float32):
        z = GaussianChart().to_latent(u)
        image = batched(seen)
        if kind == "chw":
            image = np.moveaxis(image, 1, -1)
        expected = np.clip(prior.decode(z[None], image)[0], -1, 1)
        agent_sees, reward, *_, info = env.step(u)
        seen, *_ = bare.step(expected.copy())
        np.testing.assert_array_equal(info["echo"], expected)
        np.testing.assert_array_equal(info["parrot/action"], expected)
        np.testing.assert_array_equal(info["parrot/latent"], z)
        assert info["parrot/clipped"] is False
        assert reward == pytest.approx(float(expected[0]))
        if mode == "image" and kind != "dict":
            np.testing.assert_array_equal(agent_sees, seen)


def test_clips_to_the_box_of_the_env_and_says_so():
    env = wrap(scale=50.0)
    env.reset(seed=0)
    *_, info = env.step(np.array([0.9, -0.9], np.float32))
    np.testing.assert_array_equal(info["echo"], np.array([1.0, -1.0], np.float32))
    assert info["parrot/clipped"] is True


@KINDS
@MODES
def test_encode_inverts_step(kind, mode):
    env = wrap(kind, observation=mode)
    env.reset(seed=0)
    for u in np.random.default_rng(1).uniform(-0.95, 0.95, (4, 2)).astype(np.float32):
        before = env._driver.features().copy()
        action = env.prior.decode_features(env.chart.to_latent(u[None]), before)[0]
        np.testing.assert_allclose(env.encode(action), u, atol=1e-5)
        *_, info = env.step(env.encode(action))
        np.testing.assert_allclose(info["echo"], action, atol=1e-5)


def test_encode_puts_outliers_on_the_edge():
    env = wrap(scale=0.001)
    env.reset(seed=0)
    u = env.encode([1.0, -1.0])
    assert u.dtype == np.float32 and env.action_space.contains(u)
    assert np.abs(u).min() > 0.999999


@KINDS
@MODES
def test_observations_are_of_their_space(kind, mode):
    env = wrap(kind, observation=mode)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])
    if mode == "image":
        assert env.observation_space is env.env.observation_space


def test_charts_and_prior_are_there_to_be_read():
    env = wrap(latent="box:2")
    assert env.chart == BoxChart(2.0)
    assert env.prior.action_dim == 2
    env.reset(seed=0)
    *_, info = env.step(np.array([0.5, -1.0]))
    np.testing.assert_allclose(info["parrot/latent"], [1.0, -2.0], atol=1e-6)


@MODES
def test_spec_survives_json_and_makes_the_same_env(registered, mode):
    env_id, folder = registered
    env = BehavioralPriorWrapper(
        gym.make(env_id, action_dim=2), folder, latent=BoxChart(2.0), observation=mode
    )
    text = env.spec.to_json()
    assert json.loads(text)["additional_wrappers"][0]["kwargs"]["prior"] == str(folder)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(text))
    assert isinstance(again, BehavioralPriorWrapper)
    assert again.chart == BoxChart(2.0)
    assert again.observation_space == env.observation_space
    u = np.array([0.4, -0.2], np.float32)
    env.reset(seed=5)
    again.reset(seed=5)
    np.testing.assert_array_equal(
        env.step(u)[-1]["parrot/action"], again.step(u)[-1]["parrot/action"]
    )


def test_spec_of_a_live_prior_is_refused_by_name(registered):
    env = BehavioralPriorWrapper(gym.make(registered[0]), AffinePrior())
    again = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    with pytest.raises(InvalidArgumentError, match=r"<live AffinePrior>.*prior.save\(folder\)"):
        gym.make(again)


EXPECTED = [
    # Gymnasium would rather check the bare env; here the wrapper is what is under test.
    "is different from the unwrapped version",
    # Features have no natural bounds.
    "observation space minimum value is -infinity",
    "observation space maximum value is infinity",
]


@pytest.mark.parametrize("horizon", [1, 3])
@KINDS
@MODES
def test_both_checkers_pass(kind, mode, horizon):
    prior = AffinePrior(SPECS[kind], horizon=horizon)
    env = BehavioralPriorWrapper(EchoEnv(kind), prior, observation=mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_with_gymnasium(env, skip_render_check=True)
        check_with_sb3(env)
    unexpected = [str(w.message) for w in caught if not any(e in str(w.message) for e in EXPECTED)]
    assert not unexpected
