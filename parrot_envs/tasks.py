"""What counts as success: lifting an object, or putting one into or onto the container."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Literal

import numpy as np
import numpy.typing as npt

from parrot_envs.errors import check_choice
from parrot_envs.robot import Robot
from parrot_envs.scene import Placed, Scene
from parrot_envs.shapes import Thing

LIFT_HEIGHT = 0.04
"""An object is lifted when it hangs this far (metres) above where it stood, in the gripper."""
_HELD_DISTANCE = 0.07
_PLACE_TOLERANCE = 0.03

TaskKind = Literal["grasp", "place", "any"]
TASK_KINDS = ("grasp", "place", "any")


class Situation:
    """What a task may ask about the present moment. SI units, the world's frame.

    Attributes:
        lifted: Names of the objects that hang in the gripper above the table.
        placed: Names of the objects that lie released in or on the container.
    """

    def __init__(self, scene: Scene, robot: Robot) -> None:
        """Look at the scene."""
        self._scene, self._robot = scene, robot
        self.lifted = [p.thing.name for p in scene.objects if is_lifted(p, scene, robot)]
        self.placed = [p.thing.name for p in scene.objects if is_placed(p, scene, robot)]

    @property
    def objects(self) -> tuple[Thing, ...]:
        """The movable things of this episode."""
        return tuple(p.thing for p in self._scene.objects)

    @property
    def container(self) -> Thing:
        """The container of this episode."""
        return self._scene.container.thing

    @property
    def tip(self) -> npt.NDArray[np.float64]:
        """Where the fingertips are, (3,) metres."""
        return np.array(self._robot.tip)

    @property
    def closed(self) -> bool:
        """Whether the gripper was told to close."""
        return self._robot.closed

    def position(self, name: str) -> npt.NDArray[np.float64]:
        """Centre of a thing, (3,) metres; it stands when the height is half its own.

        Raises:
            EnvArgumentError: No thing of that name is on the table.
        """
        check_choice("thing on the table", name, self._scene.states)
        return np.array(self._scene.states[name].position)


@dataclass(frozen=True)
class Task:
    """What to do with which object. For a condition of your own, override `succeeds`.

    Attributes:
        kind: `"grasp"`: lift it; `"place"`: release it in or on the container; `"any"`: either,
            with any object (used to collect data). It is also what the scripted expert does.
        target: Name of the object, or None where any will do.

    Raises:
        EnvArgumentError: The kind is unknown.
    """

    kind: TaskKind
    target: str | None = None

    def __post_init__(self) -> None:
        """Check the kind."""
        check_choice("task", self.kind, TASK_KINDS)

    def succeeds(self, now: Situation) -> bool:
        """Whether the condition holds now; the reward of a step is 1.0 if it does."""
        done = {"grasp": now.lifted, "place": now.placed, "any": [*now.lifted, *now.placed]}
        names = done[self.kind]
        return self.target in names if self.target is not None else bool(names)


def is_lifted(placed: Placed, scene: Scene, robot: Robot) -> bool:
    """Whether the object hangs at least `LIFT_HEIGHT` above its resting height, near the tips."""
    position = scene.states[placed.thing.name].position
    if not robot.closed or position[2] - 0.5 * placed.thing.height <= LIFT_HEIGHT:
        return False
    return bool(np.linalg.norm(position - robot.tip) < _HELD_DISTANCE)


def is_placed(placed: Placed, scene: Scene, robot: Robot) -> bool:
    """Whether the object lies on the container's floor, near its centre, with open fingers."""
    if robot.closed:
        return False
    container = scene.container.thing
    x, y, z = scene.states[placed.thing.name].position
    cx, cy, _ = scene.states[container.name].position
    near = hypot(x - cx, y - cy) < container.place_radius
    # A toppled object lies lower or higher than a standing one: half its height either way.
    bottom = z - container.floor
    return near and bottom < max(0.5 * placed.thing.height, placed.thing.radius) + _PLACE_TOLERANCE
