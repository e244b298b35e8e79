"""The env that takes chunks: what `BehavioralPriorWrapper` does with one, without a prior."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from parrot_wrapper import ActionChunking, BehavioralPriorWrapper
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from tests.helpers import SPECS, AffinePrior, EchoEnv


def test_a_chunk_is_executed_until_the_episode_ends():
    env = ActionChunking(EchoEnv("state", steps=5), 3, gamma=0.5)
    assert env.action_space == gym.spaces.Box(-1.0, 1.0, (3, 2), np.float32)
    env.reset(seed=0)
    chunk = np.array([[0.4, 0.0], [0.2, 0.0], [0.8, 0.0]])
    _, reward, _, truncated, info = env.step(chunk)
    assert (reward, truncated) == (pytest.approx(0.4 + 0.1 + 0.2), False)
    np.testing.assert_array_equal(info["parrot/infos"]["echo"], chunk.astype(np.float32))
    _, reward, _, truncated, info = env.step(chunk)
    assert (reward, truncated, info["parrot/env_steps"]) == (pytest.approx(0.5), True, 2)


def test_refusals():
    for horizon, gamma in ((0, 1.0), (1.5, 1.0), (True, 1.0), (2, 1.5), (2, None)):
        with pytest.raises(InvalidArgumentError):
            ActionChunking(EchoEnv("state"), horizon, gamma=gamma)
    with pytest.raises(InvalidArgumentError, match=r"Box action space \(A,\), got Discrete"):
        ActionChunking(gym.make("CartPole-v1"), 2)
    env = ActionChunking(EchoEnv("state"), 3)
    env.reset(seed=0)
    for action in (np.zeros(2), np.zeros((2, 2)), "left", None):
        with pytest.raises(InvalidArgumentError):
            env.step(action)
    assert env.unwrapped.taken == 0
    with pytest.raises(SpaceMismatchError, match=r"expected shape \(2,\), got shape \(3, 2\)"):
        BehavioralPriorWrapper(env, AffinePrior(SPECS["state"], horizon=3))


def test_gymnasiums_checker_and_spec():
    made = ActionChunking(gym.make("Pendulum-v1"), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is told to be given bare envs
        check_env(made, skip_render_check=True)
    assert made.spec.additional_wrappers[-1].kwargs == {"horizon": 2, "gamma": 1.0}
