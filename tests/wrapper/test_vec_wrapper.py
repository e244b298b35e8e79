"""The Stable-Baselines3 twin does for many envs what the wrapper does for one."""

from functools import partial

import numpy as np
import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecTransposeImage

from parrot_wrapper import (
    ActionChunking,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    target_entropy,
)
from tests.helpers import CAMERA, SPECS, AffinePrior, CameraEnv, EchoEnv


def one(observations, index):
    if isinstance(observations, dict):
        return {key: part[index] for key, part in observations.items()}
    return observations[index]


def assert_equal(left, right):
    if isinstance(left, dict):
        assert sorted(left) == sorted(right)
        for key in left:
            assert_equal(left[key], right[key])
    else:
        np.testing.assert_allclose(left, right, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "mode", "horizon"),
    [
        *((kind, mode, 1) for kind in SPECS for mode in ("image", "features", "both")),
        ("state", "both", 3),
    ],
)
def test_does_for_many_what_the_wrapper_does_for_one(kind, mode, horizon):
    """Two envs with episodes of different length, each compared with a wrapped env of its own.

    Nothing of a chunk leaks into the next episode.
    """
    prior = AffinePrior(SPECS[kind], horizon=horizon)
    options = {"observation": mode, "latent": "tempered:0.7"}

    def below(steps):
        env = EchoEnv(kind, steps=steps)
        return env if horizon == 1 else ActionChunking(env, horizon, gamma=0.9)

    venv = DummyVecEnv([partial(below, steps) for steps in (2, 4)])
    venv = BehavioralPriorVecWrapper(venv, prior, **options)
    singles = [
        BehavioralPriorWrapper(EchoEnv(kind, steps=n), prior, gamma=0.9, **options) for n in (2, 4)
    ]
    venv.seed(10)
    seen = venv.reset()
    for index, env in enumerate(singles):
        first, info = env.reset(seed=10 + index)
        assert_equal(one(seen, index), first)
        assert_equal(venv.reset_infos[index], info)
        assert venv.observation_space == env.observation_space
        assert venv.action_space == env.action_space
    action = np.zeros((2, 2) if horizon == 1 else (2, horizon, 2))
    for u in np.random.default_rng(0).uniform(-1, 1, (7, 2, 2)).astype(np.float32):
        encoded = venv.encode(action)
        seen, rewards, dones, infos = venv.step(u)
        for index, env in enumerate(singles):
            np.testing.assert_allclose(encoded[index], env.encode(action[index]), atol=1e-6)
            last, reward, _, done, info = env.step(u[index])
            assert (dones[index], rewards[index]) == (done, pytest.approx(reward))
            assert infos[index].pop("TimeLimit.truncated") == done
            if done:
                assert_equal(infos[index].pop("terminal_observation"), last)
                last, first_info = env.reset()
                assert_equal(venv.reset_infos[index], first_info)
            assert_equal(infos[index], info)
            assert_equal(one(seen, index), last)


def test_images_that_were_transposed_below_are_read():
    venv = VecTransposeImage(DummyVecEnv([EchoEnv]))
    wrapped = BehavioralPriorVecWrapper(venv, AffinePrior(), observation="features")
    plain = BehavioralPriorVecWrapper(DummyVecEnv([EchoEnv]), AffinePrior(), observation="features")
    wrapped.seed(0)
    plain.seed(0)
    np.testing.assert_array_equal(wrapped.reset(), plain.reset())


@pytest.mark.slow
def test_envs_in_processes():
    venv = SubprocVecEnv([CameraEnv] * 2, start_method="spawn")
    try:
        prior = AffinePrior(metadata={"camera": CAMERA})
        wrapped = BehavioralPriorVecWrapper(venv, prior, observation="features")
        wrapped.reset()
        *_, infos = wrapped.step(np.zeros((2, 2), np.float32))
        assert infos[1]["echo"] == pytest.approx(infos[1]["parrot/action"])
    finally:
        venv.close()


@pytest.mark.parametrize(
    ("mode", "policy"), [("features", "MlpPolicy"), ("both", "MultiInputPolicy")]
)
def test_stock_sac_trains_and_warms_up_with_the_prior(mode, policy):
    venv = BehavioralPriorVecWrapper(
        DummyVecEnv([lambda: EchoEnv("state")]), AffinePrior(SPECS["state"]), observation=mode
    )
    model = SAC(
        policy,
        venv,
        target_entropy=target_entropy(venv.action_space, kl=2.0),
        learning_starts=150,
        buffer_size=500,
        batch_size=8,
        policy_kwargs={"net_arch": [8]},
        seed=0,
    )
    model.learn(160)
    u = model.replay_buffer.actions[:150]
    z = venv.chart.to_latent(u)
    assert abs(z.mean()) < 0.15 and z.std() == pytest.approx(1.0, abs=0.1)
