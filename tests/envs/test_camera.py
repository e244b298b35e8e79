"""The camera: the table behind what the renderer draws."""

from __future__ import annotations

import numpy as np
import pytest

from parrot_envs.camera import FLOOR_COLOR, TABLE_COLOR, Camera
from parrot_envs.sim import Simulator, bullet


@pytest.fixture
def sim() -> Simulator:
    sim = Simulator()
    yield sim
    sim.close()


def colors(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}


@pytest.mark.parametrize("size", [36, 48, 85])
def test_the_empty_table(sim: Simulator, size: int) -> None:
    image = Camera(size).image(sim.client)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert colors(image) == {tuple(int(c * 255) for c in color)
                             for color in (TABLE_COLOR, FLOOR_COLOR)}  # fmt: skip


def test_things_lie_before_the_table(sim: Simulator) -> None:
    camera = Camera(48)
    empty = camera.image(sim.client)
    red = bullet.createVisualShape(
        bullet.GEOM_BOX, halfExtents=(0.03, 0.03, 0.03), rgbaColor=(1, 0, 0, 1),
        physicsClientId=sim.client,
    )  # fmt: skip
    at = np.array([[0.315, 0.0, 0.03]])
    bullet.createMultiBody(0, -1, red, at[0].tolist(), physicsClientId=sim.client)
    image = camera.image(sim.client)
    column, row = camera.project(at)[0].round().astype(int)
    drawn = (image != empty).any(axis=-1)
    assert drawn[row, column]
    assert (image[drawn][:, 0] > 100).all()
    assert (image[drawn][:, 1:] == 0).all()
    assert 50 < drawn.sum() < 500
    assert (camera.image(sim.client) == image).all()


def test_images_are_the_callers_own(sim: Simulator) -> None:
    camera = Camera(48)
    first = camera.image(sim.client)
    copy = first.copy()
    camera.image(sim.client)[:] = 0
    assert (first == copy).all()
    assert (camera.image(sim.client) == copy).all()
