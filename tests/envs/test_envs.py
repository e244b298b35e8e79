"""The registered environments: contracts, rewards, ends, and what their documentation says."""

from __future__ import annotations

import inspect
import re
import runpy
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import parrot_envs
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.env import ManipulationEnv
from parrot_envs.novel_objects import novel_objects
from parrot_envs.registration import EPISODE_STEPS
from parrot_envs.robot import ANGLE_SCALE, HOME, POSITION_SCALE
from parrot_envs.scene import TABLE_HIGH, TABLE_LOW
from parrot_envs.tasks import LIFT_HEIGHT
from parrot_envs.training_objects import TRAINING_FAMILIES

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


DOCS = Path(__file__).parents[2] / "docs"
DOC = inspect.getdoc(ManipulationEnv)


def test_the_docstring_tells_the_units_that_hold() -> None:
    rows = dict(re.findall(r"^\| (.*?) \| .* \| (.*?) ?\|$", DOC, re.M))
    assert rows["0, 1, 2"] == f"{POSITION_SCALE} m"
    assert rows["3, 4, 5"] == f"{ANGLE_SCALE} rad"
    arguments = DOC.split("\nArgs:\n")[1]
    for name in inspect.signature(ManipulationEnv).parameters:
        assert f"\n    {name}: " in f"\n{arguments}"
    prose = " ".join(DOC.split())
    assert f"{LIFT_HEIGHT} m" in prose
    assert f"({HOME[0]:.2f}, {HOME[1]:.0f}, {HOME[2]}) m" in prose
    width, depth = TABLE_HIGH - TABLE_LOW
    assert f"{width:.2f} m by {depth:.2f} m" in prose
    assert f"{EPISODE_STEPS} steps" in prose


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_action_moves_as_far_as_the_docstring_says(axis: int) -> None:
    env = gym.make("ParrotGraspCup-v0", obs="image_proprio")
    observation, info = env.reset(seed=0)
    action = np.zeros(7, np.float32)
    action[axis] = -1.0
    moved = env.step(action)[0]["proprio"][:3] - observation["proprio"][:3]
    assert moved[axis] == pytest.approx(-POSITION_SCALE, abs=0.004)
    told = re.search(r"\*\*Info\*\*.*?(?=\n\n)", DOC, re.S)[0]
    assert all(f"`{key}`" in told for key in info)
    env.close()


def test_the_contact_sheet_shows_every_family(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    script = runpy.run_path(str(DOCS / "make_contact_sheet.py"))
    shown = {thing.name for things in script["groups"]().values() for thing in things}
    assert {f"{family}-0" for family in TRAINING_FAMILIES} | {*novel_objects()} <= shown
    assert {t.name for t in training_containers()} | {*novel_containers()} <= shown
    script["main"]([str(tmp_path / "sheet.png")])
    committed = DOCS / "images" / "objects.png"
    with image.open(tmp_path / "sheet.png") as made, image.open(committed) as kept:
        assert made.size == kept.size
    assert committed.stat().st_size < 400_000
