"""Placing things on the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parrot_envs.containers import novel_containers
from parrot_envs.errors import SceneError
from parrot_envs.novel_objects import novel_objects
from parrot_envs.scene import TABLE_HIGH, TABLE_LOW, place_without_overlap


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
