"""Placing things on the table without overlap, from one generator."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numpy as np

from parrot_envs.errors import SceneError
from parrot_envs.shapes import Color, Thing
from parrot_envs.sim import Simulator

TABLE_LOW = np.array([0.23, -0.12])
TABLE_HIGH = np.array([0.41, 0.12])
"""Objects stand within this rectangle (x, y), metres."""
_CONTAINER_MARGIN = 0.045
_GAP = 0.012
_PLACE_TRIES = 400


@dataclass(frozen=True)
class Placed:
    """A thing in the simulator."""

    thing: Thing
    body: int


@dataclass(frozen=True)
class ThingState:
    """Where a thing is now. `position` is its centre (height / 2 while it stands), metres.

    `quaternion` is (x, y, z, w).
    """

    position: tuple[float, float, float]
    quaternion: tuple[float, ...]


def place_without_overlap(
    things: list[Thing], rng: np.random.Generator
) -> list[tuple[tuple[float, float], float]]:
    """Random positions (x, y) and yaws; containers (mass 0) keep further from the edge."""
    order = sorted(range(len(things)), key=lambda i: -things[i].radius)
    for _ in range(_PLACE_TRIES):
        found: dict[int, tuple[float, float]] = {}
        for index in order:
            spot = _free_spot(things, index, found, rng)
            if spot is None:
                break
            found[index] = spot
        else:
            yaws = [float(rng.uniform(-t.yaw_range, t.yaw_range)) for t in things]
            return [(found[i], yaws[i]) for i in range(len(things))]
    names = ", ".join(t.name for t in things)
    raise SceneError(
        f"No free place on the table for all of: {names}. Use smaller or fewer things."
    )


def _free_spot(
    things: list[Thing],
    index: int,
    taken: dict[int, tuple[float, float]],
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    thing = things[index]
    margin = _CONTAINER_MARGIN if thing.mass == 0 else 0.0
    # Some twenty tries each scene: plain floats, as arrays of two take ten times as long.
    low_x, low_y = (TABLE_LOW + margin).tolist()
    high_x, high_y = (TABLE_HIGH - margin).tolist()
    others = [(*at, thing.radius + things[other].radius + _GAP) for other, at in taken.items()]
    for _ in range(20):
        x = low_x + (high_x - low_x) * rng.random()
        y = low_y + (high_y - low_y) * rng.random()
        if all(hypot(x - ox, y - oy) >= apart for ox, oy, apart in others):
            return x, y
    return None


class Scene:
    """The things of one episode: objects first, the container last."""

    def __init__(
        self,
        sim: Simulator,
        objects: list[Thing],
        container: Thing,
        colors: list[tuple[Color, Color]],
        rng: np.random.Generator,
    ) -> None:
        """Remove what stood there and put the new things on the table."""
        self._sim = sim
        sim.clear_things()
        things = [*objects, container]
        spots = place_without_overlap(things, rng)
        placed = [
            Placed(thing, sim.add_thing(thing, spot, yaw, color))
            for thing, (spot, yaw), color in zip(things, spots, colors, strict=True)
        ]
        self.objects, self.container = placed[:-1], placed[-1]
        self.refresh()

    def refresh(self) -> None:
        """Read all poses from the simulator."""
        self.states = {p.thing.name: self._state(p) for p in (*self.objects, self.container)}

    def _state(self, placed: Placed) -> ThingState:
        return ThingState(*self._sim.pose(placed.body))
