"""PyBullet's own objects: they stand, are exact, and make well-posed tasks."""

import gymnasium as gym
import numpy as np
import pytest

from benchmarks.expert_success import success_rate
from parrot_envs.bullet_objects import bullet_objects
from parrot_envs.novel_objects import novel_objects
from parrot_envs.sim import bullet
from parrot_envs.training_objects import training_objects


def test_they_are_many_and_no_others() -> None:
    names = {thing.name for thing in bullet_objects()}
    assert len(names) == len(bullet_objects()) > 100
    assert {"duck", "mug", "lego", "prism"} <= names
    assert names.isdisjoint(novel_objects())
    assert names.isdisjoint(thing.name for thing in training_objects())


def test_they_stand_still() -> None:
    env = gym.make("ParrotMultiTask-v0", objects="bullet")
    for seed in range(20):
        env.reset(seed=seed)
        before = env.unwrapped.privileged_labels()["landmarks"]
        for _ in range(8):
            env.step(np.zeros(7, np.float32))
        after = env.unwrapped.privileged_labels()["landmarks"]
        assert np.abs(after - before).max() < 0.004
    env.close()


@pytest.mark.parametrize(
    ("env_id", "floor"), [("ParrotGrasp-v0", 0.9), ("ParrotPickPlace-v0", 0.8)]
)
def test_any_object_counts_and_the_expert_succeeds(env_id: str, floor: float) -> None:
    env = gym.make(env_id, objects="bullet")
    _, info = env.reset(seed=0)
    assert info["target"] == []
    assert success_rate(env, 40) >= floor


def test_a_target_of_theirs_is_always_there() -> None:
    env = gym.make("ParrotGrasp-v0", objects="bullet", target="duck")
    for seed in range(5):
        _, info = env.reset(seed=seed)
        assert info["target"] == ["duck"]
        assert env.unwrapped._episode.scene.objects[0].thing.name == "duck"
    assert success_rate(env, 10) >= 0.8


def test_no_bodies_are_left_behind() -> None:
    env = gym.make("ParrotGrasp-v0", objects="bullet")
    counts = set()
    for seed in range(20):
        env.reset(seed=seed)
        counts.add(bullet.getNumBodies(physicsClientId=env.unwrapped._sim.client))
    env.close()
    assert len(counts) == 1
