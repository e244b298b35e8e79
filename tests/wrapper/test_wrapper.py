"""The Gymnasium wrapper: what is executed, what is seen, what is refused, and both checkers."""

import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_with_sb3
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    FlowPrior,
    FlowPriorConfig,
)
from parrot_wrapper.errors import (
    InvalidArgumentError,
    LatentError,
    SpaceMismatchError,
    UnknownNameError,
)
from parrot_wrapper.latent import BoxChart, GaussianChart
from tests.helpers import CAMERA, SPECS, AffinePrior, CameraEnv, EchoEnv

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


@pytest.mark.parametrize("action", [[0.0], [[0.0, 0.0]], [np.nan, 0.0]])
def test_encode_refuses_bad_actions(action):
    env = wrap()
    env.reset(seed=0)
    with pytest.raises(InvalidArgumentError, match=r"finite actions of shape \(1, 2\)"):
        env.encode(action)


@KINDS
@MODES
def test_observations_are_of_their_space(kind, mode):
    env = wrap(kind, observation=mode)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])
    if mode == "image":
        assert env.observation_space is env.env.observation_space


@pytest.mark.parametrize(("mode", "calls"), [("image", 4), ("features", 5), ("both", 5)])
def test_each_observation_is_embedded_once(mode, calls):
    env = wrap(observation=mode)
    env.reset(seed=0)
    for _ in range(4):
        env.encode(np.zeros(2))
        env.step(np.zeros(2, np.float32))
    assert env.prior.feature_calls == calls


@MODES
def test_nothing_that_is_handed_out_is_kept(mode):
    env, twin = wrap("dict", observation=mode), wrap("dict", observation=mode)
    u = np.array([0.3, -0.3], np.float32)
    seen, _ = env.reset(seed=0)
    twin.reset(seed=0)
    for array in seen.values() if isinstance(seen, dict) else [seen]:
        array[...] = 0
    *_, info = env.step(u)
    *_, told = twin.step(u)
    np.testing.assert_array_equal(info["echo"], told["echo"])
    assert info["echo"] is not info["parrot/action"]
    again = env.step(u)[-1]
    assert not np.shares_memory(again["parrot/latent"], info["parrot/latent"])


def test_step_and_encode_need_a_reset():
    env = wrap()
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before step"):
        env.step(np.zeros(2, np.float32))
    with pytest.raises(ResetNeeded, match=r"before step\(\) and encode\(\)"):
        env.encode(np.zeros(2))


def test_a_failed_reset_leaves_no_observation_to_act_on(monkeypatch):
    env = wrap()
    env.reset(seed=0)
    monkeypatch.setattr(env.unwrapped, "_observe", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("u", "message"),
    [
        (np.array([np.nan, 0.0]), r"finite latents, got \[\[nan, 0.0\]\]"),
        (np.array([np.inf, 0.0]), "finite latents"),
        (np.zeros(3), r"shape \(1, 2\), \(envs, latent dim\), got shape \(1, 3\)"),
        (np.zeros((1, 2)), r"got shape \(1, 1, 2\)"),
        (np.float32(0.0), r"got shape \(1,\)"),
        (np.array(["a", "b"]), "dtype <U1"),
        (np.array([None, 0.0]), "dtype object"),
        (np.array([1.5, 0.0]), r"u within \[-1, 1\], got .* chart.to_unit"),
    ],
)
def test_bad_latents_never_reach_the_simulator(u, message):
    env = wrap()
    env.reset(seed=0)
    with pytest.raises(LatentError, match=message):
        env.step(u)
    assert env.unwrapped.taken == 0


def test_a_broken_prior_never_reaches_the_simulator():
    env = wrap(scale=np.nan)
    env.reset(seed=0)
    with pytest.raises(LatentError, match="finite actions from the prior"):
        env.step(np.zeros(2, np.float32))
    assert env.unwrapped.taken == 0


def test_charts_and_prior_are_there_to_be_read():
    env = wrap(latent="box:2")
    assert env.chart == BoxChart(2.0)
    assert env.prior.action_dim == 2
    env.reset(seed=0)
    *_, info = env.step(np.array([0.5, -1.0]))
    np.testing.assert_allclose(info["parrot/latent"], [1.0, -2.0], atol=1e-6)


def test_bad_arguments():
    with pytest.raises(UnknownNameError, match="chart 'gausian'"):
        wrap(latent="gausian")
    with pytest.raises(UnknownNameError, match="Did you mean 'features'"):
        wrap(observation="feature")
    with pytest.raises(UnknownNameError, match="Unknown prior 'parot-v0'"):
        BehavioralPriorWrapper(EchoEnv(), "parot-v0")
    with pytest.raises(InvalidArgumentError, match="name of a prior, its folder, or a live prior"):
        BehavioralPriorWrapper(EchoEnv(), 3)
    with pytest.raises(SpaceMismatchError, match="does not fit the prior"):
        BehavioralPriorWrapper(EchoEnv("state"), AffinePrior())
    for env in (gym.vector.SyncVectorEnv([EchoEnv]), None):
        with pytest.raises(InvalidArgumentError, match=r"Expected a gymnasium.Env, got"):
            BehavioralPriorWrapper(env, AffinePrior())


def test_camera_of_the_env_is_compared_with_the_one_of_the_data():
    BehavioralPriorWrapper(CameraEnv(), AffinePrior(metadata={"camera": CAMERA}))
    other = AffinePrior(metadata={"camera": {**CAMERA, "size": 64}})
    with pytest.raises(SpaceMismatchError, match="camera size: expected 64"):
        BehavioralPriorWrapper(CameraEnv(), other)


def test_warns_of_termination_on_success():
    with pytest.warns(UserWarning, match="entropy bonus pays") as caught:
        BehavioralPriorWrapper(EchoEnv(terminate_on_success=True), AffinePrior())
    assert caught[0].filename == __file__
    gym.register(
        "ParrotTestEnding-v0",
        entry_point="tests.helpers:EchoEnv",
        kwargs={"terminate_on_success": True},
    )
    try:
        env = gym.make("ParrotTestEnding-v0")
        del env.unwrapped.terminate_on_success
        with pytest.warns(UserWarning, match="terminate_on_success=False"):
            BehavioralPriorWrapper(env, AffinePrior())
    finally:
        gym.registry.pop("ParrotTestEnding-v0")


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


@KINDS
@MODES
def test_both_checkers_pass(kind, mode):
    env = wrap(kind, observation=mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_with_gymnasium(env, skip_render_check=True)
        check_with_sb3(env)
    unexpected = [str(w.message) for w in caught if not any(e in str(w.message) for e in EXPECTED)]
    assert not unexpected


def test_print_names_the_prior_the_chart_and_what_is_inside():
    envs = [
        BehavioralPriorWrapper(EchoEnv("state"), AffinePrior(SPECS["state"])),
        BehavioralPriorVectorWrapper(
            SyncVectorEnv([lambda: EchoEnv("state")] * 2), AffinePrior(SPECS["state"])
        ),
        BehavioralPriorVecWrapper(
            DummyVecEnv([lambda: EchoEnv("state")] * 2), AffinePrior(SPECS["state"])
        ),
    ]
    for env, inside in zip(
        envs, ("EchoEnv", "SyncVectorEnv", "2 envs of DummyVecEnv"), strict=True
    ):
        text = str(env)
        assert type(env).__name__ in text and "AffinePrior, latent='gaussian'" in text
        assert inside in text and "\n" not in text
        env.close()
