"""The envs of a point mass: contracts, exactness, experts, and the statistics they promise."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import parrot_envs
from parrot_envs.errors import EnvArgumentError
from parrot_envs.move_box import REACH, pushed
from parrot_envs.point_mass import OBSERVATION_MODES
from parrot_envs.sequential_navigation import TARGETS, next_target_probabilities
from tests.envs.episodes import as_bytes
from tests.envs.test_envs import _ADVICE

KINDS: list[tuple[str, dict[str, Any]]] = [
    *((env_id, {}) for env_id in parrot_envs.POINT_MASS_IDS),
    ("ParrotMoveBox-v0", {"layout": "fixed"}),
]
kinds = pytest.mark.parametrize(("env_id", "kwargs"), KINDS, ids=str)


def play(env: gym.Env, seed: int, noise: float = 0.1) -> list[Any]:
    told = [env.reset(seed=seed)]
    expert = env.unwrapped.make_expert(np.random.default_rng(seed), noise)
    while len(told) == 1 or not told[-1][3]:
        told.append((*env.step(expert.act()), env.unwrapped.privileged_labels()))
    return told


@pytest.mark.parametrize("obs", OBSERVATION_MODES)
@kinds
def test_both_checkers_pass_without_warnings(env_id, kwargs, obs):
    env = gym.make(env_id, obs=obs, render_mode="rgb_array", **kwargs).unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
        sb3_check_env(env)
    unexpected = [str(w.message) for w in caught if not any(a in str(w.message) for a in _ADVICE)]
    assert unexpected == []


@kinds
def test_episodes_repeat_bit_for_bit_and_copies_go_on_alike(env_id, kwargs):
    env, other = (gym.make(env_id, obs="image_proprio", **kwargs) for _ in range(2))
    other.reset(seed=5)
    first, again, third = (
        b"".join(as_bytes(*step) for step in play(*which))
        for which in ((env, 3), (other, 3), (env, 4))
    )
    assert first == again != third
    env.reset(seed=6)
    env.step(np.ones(2, np.float32))
    twin = copy.deepcopy(env)
    push = np.array([0.3, -0.2], np.float32)
    assert as_bytes(*env.step(push)) == as_bytes(*twin.step(push))


@kinds
def test_experts_succeed_and_idling_does_not(env_id, kwargs):
    env = gym.make(env_id, obs="state", **kwargs)
    told = [play(env, seed) for seed in range(20)]
    assert all(any(step[4]["is_success"] for step in episode[1:]) for episode in told)
    assert sum(step[1] for step in told[0][1:]) > 0
    env.reset(seed=0)
    assert not any(env.step(np.zeros(2, np.float32))[4]["success_once"] for _ in range(50))


@kinds
def test_all_modes_show_the_same(env_id, kwargs):
    keys = gym.make(env_id, obs="keys", **kwargs).reset(seed=1)[0]
    state = gym.make(env_id, obs="state", **kwargs).reset(seed=1)[0]
    both = gym.make(env_id, obs="image_proprio", **kwargs).reset(seed=1)[0]
    assert np.array_equal(np.concatenate(list(keys.values())), state)
    assert np.array_equal(both["proprio"], keys["proprio"])
    assert np.array_equal(both["image"], gym.make(env_id, **kwargs).reset(seed=1)[0])
    assert len(np.unique(both["image"].reshape(-1, 3), axis=0)) >= 4


def test_they_load_no_simulator():
    code = (
        "import sys, gymnasium as gym, parrot_envs\n"
        "for i in parrot_envs.POINT_MASS_IDS: gym.make(i).reset(seed=0)\n"
        "assert not {'pybullet', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"obs": "sate"}, "Did you mean 'state'"),
        ({"image_size": 35}, "at least 36"),
        ({"render_mode": "human"}, "Known: rgb_array"),
        ({"render_size": 0}, "render_size"),
    ],
    ids=str,
)
@pytest.mark.parametrize("env_id", parrot_envs.POINT_MASS_IDS)
def test_bad_arguments(env_id, kwargs, message):
    kind = type(gym.make(env_id).unwrapped)
    with pytest.raises(EnvArgumentError, match=message):
        kind(**kwargs)


@kinds
def test_bad_calls(env_id, kwargs):
    env = gym.make(env_id, **kwargs).unwrapped
    for call in (lambda: env.step(np.zeros(2)), env.privileged_labels):
        with pytest.raises(gym.error.ResetNeeded):
            call()
    env.reset(seed=0)
    for action, message in ((np.zeros(3), r"\(2,\), got \(3,\)"), ([0, np.nan], "finite")):
        with pytest.raises(EnvArgumentError, match=message):
            env.step(action)
    with pytest.raises(EnvArgumentError, match="noise"):
        env.make_expert(np.random.default_rng(0), -1.0)


def test_layouts_have_names():
    with pytest.raises(EnvArgumentError, match="Did you mean 'fixed'"):
        gym.make("ParrotMoveBox-v0", layout="fixd")


def test_the_chain_has_a_memory_of_two_and_none_of_one():
    chances = np.array(
        [[next_target_probabilities(b, t) for b in range(4) if b != t] for t in range(4)]
    )
    assert np.allclose(np.sort(chances, axis=2), [0.0, 0.0, 0.1, 0.9])
    assert np.allclose(chances.mean(axis=1), (1 - np.eye(4)) / 3)


def test_the_env_draws_from_the_chain_and_a_target_shows_not_where_the_point_came_from():
    env = gym.make("ParrotSequentialNavigation-v0", obs="keys")
    counts, seen = np.zeros((4, 4, 4)), {}
    for seed in range(80):
        shown, info = env.reset(seed=seed)
        expert = env.unwrapped.make_expert(np.random.default_rng(seed))
        visited, truncated, done = [env.unwrapped.last], False, 0
        while not truncated:
            before = expert._target
            push = expert.act()
            if before != expert._target and len(visited) > 1:  # it leaves now
                away = shown["proprio"] - [*TARGETS[visited[-1]], 0.0, 0.0]
                seen.setdefault((visited[-2], visited[-1]), []).append(away)
            shown, *_, truncated, info = env.step(push)
            if info["visits"] > done:
                done = info["visits"]
                visited.append(env.unwrapped.last)
        for triple in zip(visited, visited[1:], visited[2:], strict=False):
            counts[triple] += 1
    total = counts.sum(axis=2)
    assert (total > 0).sum() == 12 and total.sum() > 500
    for before, last in np.argwhere(total):
        found = counts[before, last] / total[before, last]
        assert np.abs(found - next_target_probabilities(before, last)).max() < 0.15
        assert np.abs(np.mean(seen[before, last], axis=0)).max() < 0.06


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_box_moves_along_the_side_that_is_pushed_and_stops_at_walls(axis, sign):
    along = np.eye(2)[axis] * sign
    before, after = -(REACH + 0.02) * along, -(REACH - 0.05) * along
    off = 0.1 * np.eye(2)[1 - axis]  # not in the middle of the side
    box, point = pushed(np.zeros(2), before + off, after + off)
    assert np.allclose(box, 0.05 * along) and np.allclose(point, after + off)
    box, point = pushed(0.9 * along, (0.9 - REACH) * along, 0.8 * along)
    assert np.allclose(box, 0.9 * along) and np.allclose(point, (0.9 - REACH) * along)
    box, point = pushed(np.zeros(2), before + 3 * off, after + 3 * off)
    assert np.allclose(box, 0) and np.allclose(point, after + 3 * off)
