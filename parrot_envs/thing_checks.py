"""Whether things fit: an object between the fingers, and all of a scene on the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from parrot_envs.errors import EnvArgumentError, SceneError
from parrot_envs.robot import OPEN_WIDTH
from parrot_envs.scene import place_without_overlap
from parrot_envs.shapes import Thing, footprint

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
