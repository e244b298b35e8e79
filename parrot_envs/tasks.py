"""What counts as success: lifting an object, or putting one into or onto the container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from parrot_envs.robot import Robot
from parrot_envs.scene import Placed, Scene

LIFT_HEIGHT = 0.04
"""An object is lifted when it hangs this far (metres) above where it stood, in the gripper."""
_HELD_DISTANCE = 0.07
_PLACE_TOLERANCE = 0.03

TaskKind = Literal["grasp", "place", "any"]


@dataclass(frozen=True)
class Task:
    """What to do with which object.

    Attributes:
        kind: `"grasp"`: lift it; `"place"`: release it in or on the container; `"any"`: either,
            with any object (used to collect data).
        target: Name of the object, or None where any will do.
    """

    kind: TaskKind
    target: str | None

    def lifted(self, scene: Scene, robot: Robot) -> list[str]:
        """Names of the objects that hang in the gripper above the table."""
        return [p.thing.name for p in scene.objects if is_lifted(p, scene, robot)]

    def placed(self, scene: Scene, robot: Robot) -> list[str]:
        """Names of the objects that lie released in or on the container."""
        return [p.thing.name for p in scene.objects if is_placed(p, scene, robot)]

    def succeeds(self, lifted: list[str], placed: list[str]) -> bool:
        """Whether the condition holds now."""
        done = {"grasp": lifted, "place": placed, "any": [*lifted, *placed]}[self.kind]
        return self.target in done if self.target is not None else bool(done)


def is_lifted(placed: Placed, scene: Scene, robot: Robot) -> bool:
    """Whether the object hangs at least `LIFT_HEIGHT` above its resting height, near the tips."""
    position = np.array(scene.states[placed.thing.name].position)
    high = position[2] - 0.5 * placed.thing.height > LIFT_HEIGHT
    return bool(high and robot.closed and np.linalg.norm(position - robot.tip) < _HELD_DISTANCE)


def is_placed(placed: Placed, scene: Scene, robot: Robot) -> bool:
    """Whether the object lies on the container's floor, near its centre, with open fingers."""
    container = scene.container.thing
    x, y, z = scene.states[placed.thing.name].position
    cx, cy, _ = scene.states[container.name].position
    near = np.hypot(x - cx, y - cy) < container.place_radius
    # A toppled object lies lower or higher than a standing one: half its height either way.
    bottom = z - container.floor
    low = bottom < max(0.5 * placed.thing.height, placed.thing.radius) + _PLACE_TOLERANCE
    return bool(near and low and not robot.closed)
