"""The table of ids: the paper's tasks, what stands on the table, and experts that succeed."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import parrot_envs
from benchmarks.expert_success import success_rate
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.errors import SceneError
from parrot_envs.novel_objects import novel_objects
from parrot_envs.registration import PAPER_TASKS, TABLE
from parrot_envs.scene import TABLE_HIGH, TABLE_LOW, place_without_overlap
from parrot_envs.scene_sets import SCENE_SETS
from parrot_envs.training_objects import TRAINING_FAMILIES, training_objects

FLOORS = {"grasp": 0.95, "place": 0.85, "any": 0.9}


@pytest.mark.parametrize("env_id", TABLE)
def test_scripted_expert_succeeds(env_id: str) -> None:
    assert success_rate(gym.make(env_id), 60) >= FLOORS[TABLE[env_id].task]


def test_papers_eight_tasks_are_there() -> None:
    told = {
        (entry.task, entry.target, SCENE_SETS[entry.scene].containers[0].name)
        for entry in (TABLE[env_id] for env_id in PAPER_TASKS)
    }
    assert told == {
        ("grasp", "bar", "pan"),
        ("place", "can", "pan"),
        ("grasp", "sculpture", "basket"),
        ("place", "sculpture", "basket"),
        ("place", "chair", "checkerboard"),
        ("grasp", "cup", "block"),
        ("grasp", "cap", "block"),
        ("place", "cap", "block"),
    }
    assert parrot_envs.PAPER_TASKS == PAPER_TASKS


def test_every_scene_has_a_grasp_and_a_place_task() -> None:
    for scene in set(SCENE_SETS) - {"multi-task"}:
        assert {"grasp", "place"} == {e.task for e in TABLE.values() if e.scene == scene}


@pytest.mark.parametrize("env_id", TABLE)
def test_target_is_on_the_table_with_others_of_its_scene(env_id: str) -> None:
    entry, scene = TABLE[env_id], SCENE_SETS[TABLE[env_id].scene]
    env = gym.make(env_id)
    seen: set[str] = set()
    for seed in range(30):
        _, info = env.reset(seed=seed)
        assert info["target"] == ([entry.target] if entry.target else [])
        on_table = env.unwrapped._episode.scene
        names = {placed.thing.name for placed in on_table.objects}
        assert len(names) == 2
        assert names >= set(info["target"])
        assert on_table.container.thing in scene.containers
        seen |= names
    env.close()
    expected = {thing.name for thing in scene.objects}
    assert seen == expected if len(expected) <= 10 else seen < expected


def test_training_and_test_families_are_disjoint() -> None:
    assert not set(TRAINING_FAMILIES) & set(novel_objects())
    generators = {family.__code__ for family in TRAINING_FAMILIES.values()}
    assert len(generators) == len(TRAINING_FAMILIES) >= 20
    for fact in ("parts", "colors"):
        assert len({getattr(t, fact) for t in training_objects()}) == len(training_objects()) >= 500
    assert {t.parts for t in training_objects()}.isdisjoint(
        {t.parts for t in novel_objects().values()}
    )
    assert len(novel_objects()) >= 8
    containers = {thing.parts for thing in training_containers()}
    assert containers.isdisjoint({t.parts for t in novel_containers().values()})


@pytest.mark.parametrize("seed", range(30))
def test_things_stand_apart_on_the_table(seed: int) -> None:
    things = [novel_objects()["cup"], novel_objects()["cap"], novel_containers()["basket"]]
    placed = place_without_overlap(things, np.random.default_rng(seed))
    spots = np.array([spot for spot, _ in placed])
    assert (spots >= TABLE_LOW).all()
    assert (spots <= TABLE_HIGH).all()
    for i, one in enumerate(things):
        assert abs(placed[i][1]) <= one.yaw_range
        for j, other in enumerate(things[:i]):
            assert np.linalg.norm(spots[i] - spots[j]) > one.radius + other.radius


def test_too_large_things_are_named() -> None:
    huge = [replace(novel_objects()[name], radius=0.2) for name in ("cup", "can")]
    with pytest.raises(SceneError, match="cup, can"):
        place_without_overlap(huge, np.random.default_rng(0))
