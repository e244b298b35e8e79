"""The registered environments: contracts, exactness, experts, bad input."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import parrot_envs
from parrot_envs.registration import EPISODE_STEPS

_ADVICE = (
    "is not within",
    "We recommend you to use a symmetric and normalized",
    "render_mode",
    "infinity. This is probably too",  # proprioception is unbounded by declaration
)


@pytest.mark.parametrize("obs", ["image", "image_proprio"])
@pytest.mark.parametrize("env_id", parrot_envs.ENV_IDS)
def test_both_checkers_pass_without_warnings(env_id: str, obs: str) -> None:
    env = gym.make(env_id, obs=obs, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
        sb3_check_env(env)
    unexpected = [str(w.message) for w in caught if not any(a in str(w.message) for a in _ADVICE)]
    assert unexpected == []
    env.close()


def test_uniform_actions_do_nothing_useful() -> None:
    env = gym.make("ParrotGraspCup-v0")
    env.action_space.seed(0)
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(EPISODE_STEPS):
            *_, info = env.step(env.action_space.sample())
        assert not info["is_success"]  # in one of 200 the cup is lifted by chance, and dropped
    env.close()


def test_reward_info_and_truncation() -> None:
    env = gym.make("ParrotGraspCup-v0")
    _, info = env.reset(seed=0)
    assert info["is_success"] is False
    assert info["target"] == ["cup"]
    expert = env.unwrapped.make_expert(np.random.default_rng(0))
    rewards = []
    for step in range(EPISODE_STEPS):
        _, reward, terminated, truncated, info = env.step(expert.act())
        assert not terminated
        assert truncated == (step == EPISODE_STEPS - 1)
        assert reward == float(info["is_success"])
        rewards.append(reward)
    assert info["success_once"]
    assert info["lifted"] == ["cup"]
    assert sum(rewards) > 5
    env.close()


def test_terminate_on_success_ends_the_episode() -> None:
    env = gym.make("ParrotGraspCup-v0", terminate_on_success=True)
    env.reset(seed=0)
    expert = env.unwrapped.make_expert(np.random.default_rng(0))
    for _ in range(EPISODE_STEPS):
        _, _, terminated, _, info = env.step(expert.act())
        assert terminated == info["is_success"]
        if terminated:
            break
    assert terminated
    env.close()
