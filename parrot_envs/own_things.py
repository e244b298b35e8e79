"""Objects and containers of a user's own, from their parts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from parrot_envs.appearance import ELONGATED_YAW, TwoColors, colors_from_name, training_thing
from parrot_envs.errors import EnvArgumentError, SceneError
from parrot_envs.robot import OPEN_WIDTH
from parrot_envs.scene import place_without_overlap
from parrot_envs.shapes import Part, Thing, footprint


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


MAX_REACH = OPEN_WIDTH - 0.001
"""An object reaches at most this far from its grasp point towards either finger, metres."""
MAX_ABOVE_GRASP = 0.05
"""An object stands at most this high above its grasp point, or it touches the palm; metres."""
FINGERTIP = 0.008
"""The fingers reach this far below the grasp point, metres."""
_YAWS_CHECKED = 61


def check_object(thing: Thing) -> None:
    """Check that the gripper can take a movable thing."""
    if thing.mass <= 0:
        raise EnvArgumentError(
            f"An object needs a mass above 0 kg, {thing.name!r} has {thing.mass}. "
            "Only containers stand still."
        )
    reach = finger_reach(thing, thing.yaw_range)
    if reach > MAX_REACH:
        raise EnvArgumentError(
            f"An object reaches at most {1e3 * MAX_REACH:.0f} mm from its grasp point towards "
            f"either finger (along y), {thing.name!r} reaches {1e3 * reach:.0f} mm. "
            "Make it narrower."
        )
    above = thing.height - thing.grasp[2]
    if above > MAX_ABOVE_GRASP:
        raise EnvArgumentError(
            f"An object stands at most {1e3 * MAX_ABOVE_GRASP:.0f} mm above its grasp point, "
            f"where the palm is; {thing.name!r} stands {1e3 * above:.0f} mm above. Make it lower."
        )


def check_container(thing: Thing) -> None:
    """Check that a container stands still and has somewhere to place an object."""
    if thing.mass != 0 or thing.place_radius <= 0:
        raise EnvArgumentError(
            f"A container has mass 0 and a place_radius above 0, {thing.name!r} has "
            f"{thing.mass} and {thing.place_radius}. Make it with make_container."
        )


def check_scene(objects: Sequence[Thing], containers: Sequence[Thing], count: int) -> None:
    """Check that a scene of `count` objects and a container can always be laid out."""
    names = Counter(thing.name for thing in (*objects, *containers))
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise EnvArgumentError(
            f"Each thing of a scene needs a name of its own, {', '.join(twice)} came twice."
        )
    largest = sorted(objects, key=lambda thing: thing.radius)[-count:]
    try:
        place_without_overlap(
            [*largest, max(containers, key=lambda thing: thing.radius)], np.random.default_rng(0)
        )
    except SceneError as error:
        raise EnvArgumentError(f"These things are too large for the table. {error}") from error


def finger_reach(thing: Thing, yaw_range: float) -> float:
    """How far a thing reaches from its grasp point along y at any yaw in the range, metres.

    Only what the fingers pass counts, and no meshes: their size is not known here.
    """
    reach = 0.0
    yaws = np.linspace(-yaw_range, yaw_range, _YAWS_CHECKED)
    for part in thing.parts:
        if part.kind == "mesh" or part.position[2] + part.size[2] <= thing.grasp[2] - FINGERTIP:
            continue
        points, radius = footprint(part)
        for x, y in points:
            sideways = (x - thing.grasp[0]) * np.sin(yaws) + (y - thing.grasp[1]) * np.cos(yaws)
            reach = max(reach, float(np.abs(sideways).max()) + radius)
    return reach
