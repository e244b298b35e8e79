"""What stands on the table: ids, scenes, colours, PyBullet's own objects; and the arm above it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pybullet
import pytest

import parrot_envs
from benchmarks.expert_success import success_rate
from parrot_envs import kinematics
from parrot_envs.appearance import TwoColors
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.errors import SceneError
from parrot_envs.novel_objects import novel_objects
from parrot_envs.registration import PAPER_TASKS, TABLE
from parrot_envs.robot import TIP_HIGH, TIP_LOW, Robot
from parrot_envs.scene import TABLE_HIGH, TABLE_LOW, place_without_overlap
from parrot_envs.scene_sets import SCENE_SETS
from parrot_envs.sim import Simulator, bullet
from parrot_envs.thing_library import bullet_objects, container_library
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


@pytest.fixture
def paint(monkeypatch: pytest.MonkeyPatch) -> Callable[[gym.Env, int], list[TwoColors]]:
    """Resets an env and tells in which two colours each object and the container were made.

    PyBullet does not tell it: for bodies with several shapes it repeats the first one's colour.
    """
    made: list[TwoColors] = []
    add_thing = Simulator.add_thing

    def recorded(self, thing, position, yaw, colors) -> int:
        made.append(colors)
        return add_thing(self, thing, position, yaw, colors)

    def painted(env: gym.Env, seed: int) -> list[TwoColors]:
        made.clear()
        env.reset(seed=seed)
        return list(made)

    monkeypatch.setattr(Simulator, "add_thing", recorded)
    return painted


def test_shared_colors_leave_shape_alone_to_tell_objects_apart(paint) -> None:
    env = gym.make("ParrotGraspCup-v0", colors="shared")
    several = set()
    for seed in range(10):
        first, second, container = paint(env, seed)
        assert first == second
        assert first[0] == first[1]
        assert container == container_library()["block"].colors
        several.add(first)
    env.close()
    assert len(several) == 10  # drawn in each episode


def test_fixed_colors_stay_and_random_ones_change(paint) -> None:
    fixed, drawn = (gym.make("ParrotGraspCup-v0", colors=mode) for mode in ("fixed", "random"))
    assert paint(fixed, 0) == paint(fixed, 1)
    assert not set(paint(drawn, 0)) & set(paint(drawn, 1))
    fixed.close()
    drawn.close()


@pytest.mark.parametrize(
    ("env_id", "own"), [("ParrotGraspCup-v0", "fixed"), ("ParrotMultiTask-v0", "random")]
)
def test_default_is_the_ids_own(env_id: str, own: str) -> None:
    one, other = gym.make(env_id), gym.make(env_id, colors=own)
    for seed in range(3):
        assert (one.reset(seed=seed)[0] == other.reset(seed=seed)[0]).all()
    one.close()
    other.close()


def test_random_colors_are_plain_and_two_tone(paint) -> None:
    env = gym.make("ParrotMultiTask-v0")
    plain = [len(set(colors)) == 1 for seed in range(40) for colors in paint(env, seed)[:2]]
    env.close()
    assert 0.3 < np.mean(plain) < 0.7


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


def test_inverse_then_forward_is_the_identity_within_reach() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        tip = rng.uniform(TIP_LOW, np.array(TIP_HIGH) - (0.06, 0.04, 0.0)).tolist()
        hand = kinematics.hand_axes(*rng.uniform(-0.2, 0.2, 2), rng.uniform(-1.2, 1.2))
        position, turned = kinematics.forward(kinematics.inverse(tip, hand))
        np.testing.assert_allclose(position, tip, atol=1e-9)
        np.testing.assert_allclose(turned, hand, atol=1e-9)


def test_forward_agrees_with_the_urdf() -> None:
    sim = Simulator()
    robot = Robot(sim)
    rng = np.random.default_rng(0)
    for joints in [robot._home_joints, *rng.uniform(-1.5, 1.5, (20, 6))]:
        for joint, angle in enumerate(joints):
            pybullet.resetJointState(robot._body, joint, angle, physicsClientId=sim.client)
        hand = pybullet.getLinkState(
            robot._body, 5, computeForwardKinematics=1, physicsClientId=sim.client
        )
        turned = np.array(pybullet.getMatrixFromQuaternion(hand[5])).reshape(3, 3)
        tip, axes = kinematics.forward(joints)
        np.testing.assert_allclose(np.transpose(axes), turned, atol=1e-6)
        np.testing.assert_allclose(
            tip, np.array(hand[4]) + kinematics.HAND * turned[:, 0], atol=1e-6
        )
    sim.close()


def test_out_of_reach_stays_finite() -> None:
    joints = kinematics.inverse([2.0, 0.0, 1.0], kinematics.hand_axes(0, 0, 0))
    assert np.isfinite(joints).all()
