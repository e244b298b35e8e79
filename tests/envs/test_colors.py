"""Colours: drawn anew, fixed, or shared by all objects of a scene."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest

from parrot_envs.appearance import TwoColors
from parrot_envs.sim import Simulator
from parrot_envs.thing_library import container_library


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
