"""What things are made of: primitives and meshes, assembled into named, coloured bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Vector: TypeAlias = tuple[float, float, float]
Color: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Part:
    """One piece of a thing, in the thing's frame (origin on the table, z up). Metres.

    Attributes:
        kind: `"box"` (size = half extents), `"cylinder"` (size = radius, radius, half height;
            upright), `"sphere"` (size = radius three times) or `"mesh"` (size = scale three times).
        size: See `kind`.
        position: Centre of the part.
        tone: 0 for the thing's first colour, 1 for its second.
        collides: False for decoration that is only drawn.
        mesh: For meshes: an OBJ file, below PyBullet's data folder or absolute. What collides is
            the convex hull of each of its objects.
        rotation: For meshes: quaternion (x, y, z, w) from the file's frame to the thing's.
    """

    kind: str
    size: Vector
    position: Vector
    tone: int = 0
    collides: bool = True
    mesh: str = ""
    rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Thing:
    """A body that can stand on the table: a movable object or a fixed container.

    Attributes:
        name: Family and variant, e.g. `"bottle-3"`.
        parts: What it is made of.
        radius: Radius of the circle on the table that it may cover in any orientation, metres.
        height: Height of its highest point, metres.
        yaw_range: Initial yaw is drawn from plus or minus this angle, radians.
        grasp: Where the fingertips should close, in the thing's frame, metres.
        mass: Kilograms; 0 makes it immovable (containers).
        colors: Default first and second colour, RGB in 0..1.
        place_radius: For containers: an object whose centre is within this radius is placed.
        floor: For containers: height of the surface that objects come to lie on.
    """

    name: str
    parts: tuple[Part, ...]
    radius: float
    height: float
    yaw_range: float = float(np.pi)
    grasp: Vector = (0.0, 0.0, 0.012)
    mass: float = 0.05
    colors: tuple[Color, Color] = ((0.6, 0.6, 0.6), (0.4, 0.4, 0.4))
    place_radius: float = 0.0
    floor: float = 0.0


def box(
    size: Vector, position: Vector = (0, 0, 0), tone: int = 0, *, collides: bool = True
) -> Part:
    """A box of the full edge lengths `size`; its *lower* face centre stands at `position`."""
    half = (size[0] / 2, size[1] / 2, size[2] / 2)
    return Part("box", half, (position[0], position[1], position[2] + half[2]), tone, collides)


def cylinder(radius: float, height: float, position: Vector = (0, 0, 0), tone: int = 0) -> Part:
    """An upright cylinder standing with its *lower* face centre at `position`."""
    centre = (position[0], position[1], position[2] + height / 2)
    return Part("cylinder", (radius, radius, height / 2), centre, tone)


def sphere(radius: float, position: Vector = (0, 0, 0), tone: int = 0) -> Part:
    """A sphere whose *lowest point* is at `position`."""
    centre = (position[0], position[1], position[2] + radius)
    return Part("sphere", (radius, radius, radius), centre, tone)


def footprint(part: Part) -> tuple[list[tuple[float, float]], float]:
    """What a part (no mesh) covers on the table: the hull of discs of one radius at points (x, y).

    Returns:
        The points, and the radius in metres: four corners and 0 for a box.
    """
    x, y, _ = part.position
    if part.kind != "box":
        return [(x, y)], part.size[0]
    return [(x + sx * part.size[0], y + sy * part.size[1]) for sx in (1, -1) for sy in (1, -1)], 0.0


def walls(inner: tuple[float, float], height: float, thickness: float, tone: int = 0) -> list[Part]:
    """Four upright walls around an inner rectangle of the given full edge lengths."""
    x, y = inner
    long_side = x + 2 * thickness
    return [
        box((long_side, thickness, height), (0, (y + thickness) / 2, 0), tone),
        box((long_side, thickness, height), (0, -(y + thickness) / 2, 0), tone),
        box((thickness, y, height), ((x + thickness) / 2, 0, 0), tone),
        box((thickness, y, height), (-(x + thickness) / 2, 0, 0), tone),
    ]


def rim(radius: float, height: float, thickness: float, base: float, tone: int = 0) -> list[Part]:
    """An eight-sided ring of upright blocks around a circle of about `radius`.

    Axis-aligned blocks only: cheap for physics and for the renderer.
    """
    r = radius + thickness / 2
    side, corner, corner_at = 1.2 * radius, 0.42 * radius, 0.82 * radius
    straight = [
        box((thickness, side, height), (r, 0, base), tone),
        box((thickness, side, height), (-r, 0, base), tone),
        box((side, thickness, height), (0, r, base), tone),
        box((side, thickness, height), (0, -r, base), tone),
    ]
    diagonal = [
        box((corner, corner, height), (sx * corner_at, sy * corner_at, base), tone)
        for sx in (1, -1)
        for sy in (1, -1)
    ]
    return straight + diagonal
