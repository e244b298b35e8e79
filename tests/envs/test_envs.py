"""The registered environments: contracts, exactness, experts, bad input."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import parrot_envs
from parrot_envs.env import ManipulationEnv
from parrot_envs.errors import EnvArgumentError, EnvClosedError
from parrot_envs.registration import EPISODE_STEPS

_ADVICE = (
    "is not within",
    "We recommend you to use a symmetric and normalized",
    "render_mode",
    "infinity. This is probably too",  # proprioception is unbounded by declaration
)


def _play(env: gym.Env, seed: int) -> bytes:
    """All images and things' positions of one scripted episode, as bytes."""
    observation, _ = env.reset(seed=seed)
    expert = env.unwrapped.make_expert(np.random.default_rng(seed))
    pieces = [observation.tobytes()]
    done = False
    while not done:
        observation, _, terminated, truncated, _ = env.step(expert.act())
        done = terminated or truncated
        pieces += [observation.tobytes(), env.unwrapped.privileged_labels()["landmarks"].tobytes()]
    return b"".join(pieces)


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


@pytest.mark.parametrize("env_id", parrot_envs.ENV_IDS)
def test_same_seed_same_episode_after_any_history(env_id: str) -> None:
    env = gym.make(env_id)
    first, other = _play(env, 1), _play(env, 2)
    assert first != other
    for seed in (7, 8):
        _play(env, seed)
    assert _play(env, 1) == first
    assert _play(env, 2) == other
    env.close()


def test_same_seed_same_episode_in_a_fresh_process_and_a_renewed_client() -> None:
    env = gym.make("ParrotMultiTask-v0")
    here = _play(env, 3)
    env.unwrapped._sim._resets = 10**9
    assert _play(env, 3) == here  # the client was renewed in between
    assert env.unwrapped._sim._resets < 10
    env.close()
    code = (
        "import hashlib, gymnasium, parrot_envs; from tests.envs.test_envs import _play;"
        "print(hashlib.sha256(_play(gymnasium.make('ParrotMultiTask-v0'), 3)).hexdigest())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    import hashlib

    assert answer.strip() == hashlib.sha256(here).hexdigest()


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


def test_labels_agree_with_the_image() -> None:
    env = gym.make("ParrotGraspCup-v0")
    observation, _ = env.reset(seed=0)
    labels = env.unwrapped.privileged_labels()
    column, row = labels["landmark_pixels"][0].round().astype(int)
    red, _, blue = observation[row, column].astype(int)
    assert blue > red + 60  # the cup is blue, the table is not
    assert labels["landmark_kinds"].tolist() == [0.0, 0.0, 1.0]
    env.close()


@pytest.mark.parametrize("size", [36, 48, 84])
def test_image_size_and_dict_observations(size: int) -> None:
    env = gym.make("ParrotPickPlace-v0", image_size=size, obs="image_proprio")
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["image"].shape == (size, size, 3)
    env.close()


@pytest.mark.filterwarnings("ignore:.*render_mode='rgb'")  # gymnasium's, ahead of our error
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scene": "cup-cap-blok"}, "Did you mean 'cup-cap-block'"),
        ({"task": "grap"}, "Did you mean 'grasp'"),
        ({"target": "cupp"}, "Did you mean 'cup'"),
        ({"objects": ["cup", "caan"]}, "Did you mean 'can'"),
        ({"objects": ["cup"]}, "at least 2 different objects"),
        ({"obs": "images"}, "Did you mean 'image'"),
        ({"image_size": 16}, "at least 36 pixels"),
        ({"render_mode": "rgb"}, "Did you mean 'rgb_array'"),
    ],
)
def test_bad_arguments_name_the_nearest_valid_one(kwargs: dict, message: str) -> None:
    with pytest.raises(EnvArgumentError, match=message):
        gym.make("ParrotGraspCup-v0", **kwargs)


@pytest.mark.parametrize("action", [np.full(7, np.nan), np.zeros(6), np.full(7, np.inf)])
def test_bad_actions_never_reach_the_simulator(action: np.ndarray) -> None:
    env = gym.make("ParrotGraspCup-v0").unwrapped
    env.reset(seed=0)
    before = env.privileged_labels()["gripper"]
    with pytest.raises(EnvArgumentError, match=r"finite|shape \(7,\)"):
        env.step(action)
    assert (env.privileged_labels()["gripper"] == before).all()
    env.close()


def test_step_before_reset_and_use_after_close() -> None:
    env = gym.make("ParrotGraspCup-v0").unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(7, np.float32))
    env.close()
    env.close()
    with pytest.raises(EnvClosedError, match="gym.make"):
        env.reset(seed=0)


def test_no_window_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(EnvClosedError, match="needs a display"):
        ManipulationEnv(render_mode="human")


def test_out_of_range_actions_are_clipped() -> None:
    env = gym.make("ParrotGraspCup-v0").unwrapped
    env.reset(seed=0)
    far = env.step(np.array([5.0, 0, 0, 0, 0, 0, 0]))[0]
    env.reset(seed=0)
    assert (env.step(np.array([1.0, 0, 0, 0, 0, 0, 0]))[0] == far).all()
    env.close()


def test_spec_survives_json_and_vector_use() -> None:
    spec = gym.make("ParrotPlaceCanInPan-v0", obs="image_proprio").spec
    again = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert again.unwrapped.observation_space == gym.make(spec).observation_space
    vector = gym.make_vec("ParrotGraspCup-v0", num_envs=2, vectorization_mode="sync")
    images, _ = vector.reset(seed=[1, 2])
    single = gym.make("ParrotGraspCup-v0")
    assert (images[0] == single.reset(seed=1)[0]).all()
    vector.close()
