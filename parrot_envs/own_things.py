"""Objects and containers of a user's own, from their parts alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parrot_envs.appearance import ELONGATED_YAW, TwoColors, colors_from_name, training_thing
from parrot_envs.errors import EnvArgumentError
from parrot_envs.shapes import Part, Thing, footprint
from parrot_envs.thing_checks import MAX_REACH, finger_reach


def make_object(name: str, parts: Sequence[Part], *, colors: TwoColors | None = None) -> Thing:
    """A movable object, grasped at its middle with fingers that close along y.

    What is too long for the fingers at some yaw lies nearly along x, so that they can take it.

    Args:
        name: Its name, other than those of the things that it shares a scene with.
        parts: Boxes, cylinders and spheres; the origin stands on the table, z is up, metres.
        colors: First and second colour, RGB in 0..1; None derives them from the name.

    Raises:
        EnvArgumentError: There are no parts, or a mesh among them.
    """
    radius, height = _extent(name, parts)
    thing = training_thing(name, list(parts), radius, height)
    fits = finger_reach(thing, thing.yaw_range) <= MAX_REACH
    return Thing(
        name, tuple(parts), radius, height, grasp=thing.grasp,
        yaw_range=thing.yaw_range if fits else ELONGATED_YAW,
        colors=colors or colors_from_name(name),
    )  # fmt: skip


def make_container(
    name: str,
    parts: Sequence[Part],
    *,
    floor: float,
    place_radius: float,
    colors: TwoColors | None = None,
) -> Thing:
    """An immovable container, never turned.

    Args:
        name: Its name, other than those of the things that it shares a scene with.
        parts: Boxes, cylinders and spheres; the origin stands on the table, z is up, metres.
        floor: Height of the surface that objects come to lie on, metres.
        place_radius: An object whose centre is within this radius is placed, metres.
        colors: First and second colour, RGB in 0..1; None derives them from the name.

    Raises:
        EnvArgumentError: There are no parts, or a mesh among them.
    """
    radius, height = _extent(name, parts)
    return Thing(
        name, tuple(parts), radius, height, yaw_range=0.0, mass=0.0,
        colors=colors or colors_from_name(name), place_radius=place_radius, floor=floor,
    )  # fmt: skip


def _extent(name: str, parts: Sequence[Part]) -> tuple[float, float]:
    """Radius that the parts cover at any yaw, and height of their highest point."""
    if not parts or any(part.kind == "mesh" for part in parts):
        raise EnvArgumentError(
            f"{name!r} needs parts of known size (box, cylinder, sphere). For meshes write a "
            "Thing with its radius and height."
        )
    radius = max(
        float(np.hypot(x, y)) + around
        for points, around in map(footprint, parts)
        for x, y in points
    )
    return radius, max(part.position[2] + part.size[2] for part in parts)
