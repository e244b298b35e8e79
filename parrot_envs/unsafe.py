"""What a real arm should not do, noted at each step; looking changes nothing."""

from __future__ import annotations

import numpy as np

from parrot_envs.robot import TIP_HIGH, TIP_LOW, Robot
from parrot_envs.scene import Scene

UNSAFE_EVENTS = ("pressed", "hit", "joint_limit", "lost")
"""Names of the events, see `UnsafeWatch`."""

PRESSING = 20.0
"""Newtons that the hand may push downwards; its own weight on an object is less."""
FASTEST_CONTACT = 0.35
"""Metres a second of fingertips that come to touch something."""
LIMIT_MARGIN = 0.05
"""Radians that a joint keeps from its limits."""
REACH_MARGIN = 0.03
"""Metres beyond the fingertips' box where the hand still takes hold of a thing."""


class UnsafeWatch:
    """Names what happened in a step that a real arm should not do.

    - `pressed`: the hand pushes down on the table or a thing with more than 20 N.
    - `hit`: the fingertips moved faster than 0.35 m/s in the step in which the hand came to touch
      the table or a thing.
    - `joint_limit`: a joint of the arm is within 0.05 rad of a limit.
    - `lost`: an object fell off the table, or was pushed to where the hand cannot take hold of it;
      told once for each object.

    Args:
        robot: The arm, at home.
        scene: The things, freshly placed.
    """

    def __init__(self, robot: Robot, scene: Scene) -> None:
        """Nothing happened yet."""
        self._robot, self._scene = robot, scene
        self._touched: set[int] = set()
        self._lost: set[str] = set()
        self._tip = robot.tip

    def look(self) -> list[str]:
        """What happened since the last look, one step ago."""
        moved, self._tip = np.linalg.norm(self._robot.tip - self._tip), self._robot.tip
        speed = float(moved) / self._robot.step_seconds
        touching = self._robot.touching()
        new, self._touched = set(touching) - self._touched, set(touching)
        lost = {p.thing.name for p in self._scene.objects if self._is_lost(p.thing.name)}
        happened = (
            max(touching.values(), default=0.0) > PRESSING,
            bool(new) and speed > FASTEST_CONTACT,
            self._robot.limit_distance() < LIMIT_MARGIN,
            bool(lost - self._lost),
        )
        self._lost |= lost
        return [name for name, told in zip(UNSAFE_EVENTS, happened, strict=True) if told]

    def _is_lost(self, name: str) -> bool:
        x, y, z = self._scene.states[name].position
        within = [
            low - REACH_MARGIN <= at <= high + REACH_MARGIN
            for at, low, high in zip((x, y), TIP_LOW, TIP_HIGH, strict=False)
        ]
        return z < 0.0 or not all(within)
