"""Objects, containers, scenes and tasks of a user's own; and what is refused."""

import copy
from dataclasses import dataclass, replace
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from parrot_envs import (
    ManipulationEnv,
    SceneSet,
    Situation,
    Task,
    Thing,
    box,
    cylinder,
    make_container,
    make_object,
    sphere,
)
from parrot_envs.errors import EnvArgumentError
from parrot_envs.shapes import Part

PAD = make_container("pad", [cylinder(0.05, 0.012)], floor=0.012, place_radius=0.04)
PEG = make_object("peg", [cylinder(0.014, 0.03), sphere(0.01, (0, 0, 0.028), tone=1)])
SLAB = make_object("slab", [box((0.08, 0.03, 0.03))])


@dataclass(frozen=True)
class Above(Task):
    """An object is held above a height."""

    height: float = 0.06

    def succeeds(self, now: Situation) -> bool:
        return any(now.position(name)[2] > self.height for name in now.lifted)


def play(env: ManipulationEnv, seed: int = 0) -> list[dict]:
    env.reset(seed=seed)
    expert = env.make_expert(np.random.default_rng(seed))
    return [env.step(expert.act())[-1] for _ in range(25)]


def test_extent_grasp_and_yaw_come_from_the_parts() -> None:
    assert (PEG.radius, PEG.height) == pytest.approx((0.014, 0.048))
    assert PEG.grasp[2] < PEG.height / 2
    assert PEG.yaw_range == pytest.approx(np.pi)
    assert SLAB.yaw_range < 1  # 80 mm would not fit between the fingers at every angle
    assert PAD.mass == 0
    assert PAD.floor == 0.012
    assert make_object("peg", PEG.parts).colors == PEG.colors != SLAB.colors


def test_two_tasks_of_the_same_kind_side_by_side() -> None:
    scene = SceneSet([PEG, SLAB], [PAD])
    low, high = (ManipulationEnv(scene, Above("grasp", "peg", height=h)) for h in (0.05, 0.5))
    reached, missed = play(low)[-1], play(high)[-1]
    assert reached["is_success"]
    assert not missed["success_once"]
    assert reached["lifted"] == missed["lifted"] == missed["target"] == ["peg"]
    low.close()
    high.close()


def test_things_and_names_mix_and_things_go_by_their_names() -> None:
    scene = SceneSet([PEG, "cup", SLAB], [PAD, "pan"], colors="random")
    env = ManipulationEnv(scene, "grasp", "peg", objects=["peg", "can"])
    assert play(env)[-1]["lifted"] == ["peg"]
    assert {p.thing.name for p in env._episode.scene.objects} == {"peg", "can"}
    env.close()


def test_a_registered_id_with_values_is_made_many_times() -> None:
    kwargs = {"scene": SceneSet([PEG, SLAB], [PAD]), "task": Above("any")}
    gym.register("OwnTask-v0", entry_point="parrot_envs.env:ManipulationEnv", kwargs=kwargs)
    try:
        one, other = gym.make("OwnTask-v0"), gym.make("OwnTask-v0", obs="image_proprio")
        images = one.reset(seed=5)[0], other.reset(seed=5)[0]["image"]
        assert (images[0] == images[1]).all()
        one.close()
        other.close()
    finally:
        del gym.registry["OwnTask-v0"]


def test_scenes_and_tasks_can_be_copied() -> None:
    scene, task = SceneSet([PEG, "cup"], [PAD], always="peg"), Above("grasp", "peg")
    assert copy.deepcopy(task) == task
    again = copy.deepcopy(scene)
    drawn, drawn_again = (s.draw(np.random.default_rng(0)) for s in (scene, again))
    assert drawn == drawn_again


def test_a_situation_tells_where_things_are() -> None:
    seen: list[Situation] = []

    class Look(Task):
        def succeeds(self, now: Situation) -> bool:
            seen.append(now)
            return False

    env = ManipulationEnv(SceneSet([PEG, SLAB], [PAD]), Look("any"))
    env.reset(seed=0)
    now = seen[-1]
    assert now.tip == pytest.approx([0.30, 0, 0.12], abs=1e-3)
    assert not now.closed
    assert {thing.name for thing in now.objects} == {"peg", "slab"}
    assert now.container == PAD
    assert now.position("peg")[2] == pytest.approx(PEG.height / 2)
    with pytest.raises(EnvArgumentError, match="Did you mean 'peg'"):
        now.position("pegg")
    env.close()


TALL = make_object("tall", [box((0.03, 0.03, 0.03))])
MESH = Part("mesh", (1, 1, 1), (0, 0, 0), mesh="duck_vhacd.obj")
HUGE = make_container("huge", [box((0.5, 0.5, 0.01))], floor=0.01, place_radius=0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SceneSet([PEG, "cupp"], [PAD]), "Did you mean 'cup'"),
        (lambda: SceneSet([PEG, "cup"], ["pam"]), "Did you mean 'pan'"),
        (lambda: SceneSet([PEG, "cup"], "pan"), "Expected a list of containers"),
        (lambda: SceneSet([PEG, "cup"], []), "and a container"),
        (lambda: SceneSet([PEG], [PAD]), "at least 2 different objects"),
        (lambda: SceneSet([PEG, PEG], [PAD]), "name of its own, peg came twice"),
        (lambda: SceneSet([PEG, 3], [PAD]), "got int as object"),
        (lambda: SceneSet(3, [PAD]), "Expected a list of objects or their names, got 3"),
        (lambda: SceneSet("bulet", [PAD]), "Did you mean 'bullet'"),
        (lambda: SceneSet([PEG, "cup"], [PAD], colors="shred"), "Did you mean 'shared'"),
        (lambda: SceneSet([PEG, "cup"], [PAD], always="can"), "Unknown target 'can'"),
        (lambda: SceneSet([PEG, PAD], [PAD]), "needs a mass above 0"),
        (lambda: SceneSet([PEG, SLAB], ["plate", PEG]), "Make it with make_container"),
        (lambda: SceneSet([PEG, SLAB], [HUGE]), "too large for the table"),
        (lambda: SceneSet([PEG, replace(TALL, height=0.09)], [PAD]), "50 mm above its grasp point"),
        (
            lambda: SceneSet([PEG, make_object("wide", [box((0.03, 0.08, 0.03))])], [PAD]),
            "at most 37 mm from its grasp point",
        ),
        (lambda: make_object("nothing", []), "needs parts of known size"),
        (lambda: make_object("duck2", [MESH]), "write a Thing with its radius"),
        (lambda: Task("grap"), "Did you mean 'grasp'"),
        (lambda: ManipulationEnv(scene=3), "a name or a SceneSet, got int"),
        (lambda: ManipulationEnv(task=SimpleNamespace()), "a name or a Task, got SimpleNamespace"),
        (lambda: ManipulationEnv(task=Task("grasp"), target="cup"), "names its target itself"),
        (lambda: ManipulationEnv(task=Task("grasp", "cup")), "Unknown target 'cup'"),
        (lambda: ManipulationEnv(objects="novell"), "Did you mean 'novel'"),
        (lambda: ManipulationEnv(objects="bullet", target="duk"), "Did you mean 'duck'"),
        (lambda: ManipulationEnv(objects=7), "Expected a list of objects"),
        (lambda: ManipulationEnv(colors="blue"), "Unknown colors 'blue'"),
    ],
)
def test_mistakes_are_told(make, message: str) -> None:
    with pytest.raises(EnvArgumentError, match=message):
        make()


def test_an_unknown_object_is_not_answered_with_all_names() -> None:
    with pytest.raises(EnvArgumentError, match="Did you mean 'bottle-3'") as caught:
        SceneSet(["bottl-3", "cup"], ["pan"])
    assert len(str(caught.value)) < 500
    assert "in all" in str(caught.value)


def test_a_thing_that_the_package_has_can_be_replaced_by_ones_own() -> None:
    mine = Thing("cup", PEG.parts, PEG.radius, PEG.height, grasp=PEG.grasp)
    scene = SceneSet([mine, "can"], ["pan"])
    assert scene.objects[0] is mine
