"""Demonstrations of a point that goes to a mark, switches, and goes to another; drawn by NumPy."""

import warnings
from typing import Any

import numpy as np

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.types import FloatArray, ImageArray

CONTROLS = {"position": 0, "velocity": 1, "force": 2, "drag": 2}
"""What actions of dimensions 0 and 1 are, and how often they are integrated for a place."""
CARRY = {"force": 1.0, "drag": 0.7}
"""What of its speed the point keeps from one step to the next."""
SWITCH, NOISE, CONSTANT, BANG_BANG = 2, 3, 4, 5
"""What the other dimensions of the action are."""
_FASTEST = 0.2


def point_data(
    control: str = "velocity",
    *,
    episodes: int = 60,
    length: int = 24,
    side: int = 32,
    seed: int = 0,
    blind: bool = False,
    **observations: Any,
) -> EpisodeDataset:
    """Episodes with images (side, side, 3), goals in the labels, and six dimensions of action.

    Args:
        control: One of `CONTROLS`.
        episodes: Number of them.
        length: Steps of each.
        side: Pixels.
        seed: Of all that is random.
        blind: The images show noise.
        **observations: Further ones, or functions of places (rows, 2) that make them.
    """
    rng = np.random.default_rng(seed)
    made = [_episode(control, length, rng) for _ in range(episodes)]
    actions, places, goals = zip(*made, strict=True)
    place, goal = np.concatenate(places), np.concatenate(goals)
    image = _images(place, goal, side)
    if blind:
        image = rng.integers(0, 256, image.shape, dtype=np.uint8)
    more = {k: make(place) if callable(make) else make for k, make in observations.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Action dimensions")  # one is constant
        return EpisodeDataset.from_arrays(
            {"image": image, **more}, np.concatenate(actions), [length] * episodes,
            labels={"place": place, "goal": goal}, action_low=-2.0, action_high=2.0,
        )  # fmt: skip


def _episode(
    control: str, length: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Actions (T, 6), places (T + 1, 2) and the two marks (T + 1, 4)."""
    marks = rng.uniform(-0.8, 0.8, (2, 2))
    place, speed, switch = rng.uniform(-0.8, 0.8, 2), np.zeros(2), -1.0
    actions, places = [], [place]
    for _ in range(length):
        if np.linalg.norm(marks[0] - place) < 0.05:
            switch = 1.0
        way = marks[int(switch > 0)] - place
        before = speed
        speed = np.clip(0.5 * way, -_FASTEST, _FASTEST)
        if control in CARRY:
            speed = before + np.clip(0.2 * way - 0.8 * before, -0.1, 0.1)
        place = place + speed
        force = 10.0 * (speed - CARRY.get(control, 0.0) * before)
        driven = {"position": place, "velocity": 5.0 * speed, "force": force, "drag": force}
        others = [
            switch + 0.05 * rng.standard_normal(),
            rng.uniform(-1, 1),
            0.5,
            rng.choice([-1, 1]),
        ]
        actions.append([*driven[control], *others])
        places.append(place)
    every = np.tile(marks.ravel(), (length + 1, 1))
    return tuple(np.asarray(rows, np.float32) for rows in (actions, places, every))


def _images(place: FloatArray, goal: FloatArray, side: int) -> ImageArray:
    """A white point before a red and a blue mark, on grey; large images have large pixels."""
    pixel = 4 if side % 4 == 0 and side >= 128 else 1
    axis = (np.arange(side // pixel) + 0.5) / side * pixel * 2.0 - 1.0
    image = np.full((len(place), len(axis), len(axis), 3), 60.0)
    marks = ((goal[:, :2], (230, 40, 40)), (goal[:, 2:], (40, 40, 230)))
    for centre, colour in (*marks, (place, (255, 255, 255))):
        x, y = (np.exp(-np.square((axis - c[:, None]) / max(0.12, 1.5 / side))) for c in centre.T)
        image += (y[:, :, None] * x[:, None, :])[:, :, :, None] * (np.array(colour) - image)
    return image.round().astype(np.uint8).repeat(pixel, axis=1).repeat(pixel, axis=2)
