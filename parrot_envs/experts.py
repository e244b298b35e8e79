"""Scripted experts on the simulator's state: Algorithms 2 and 3 of the PARROT paper.

They correct themselves: each action follows from the current state alone, so that noise, slips and
missed grasps are recovered from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parrot_envs.robot import HOME, POSITION_SCALE, Robot
from parrot_envs.scene import Scene
from parrot_envs.tasks import TaskKind, is_placed

FloatArray = npt.NDArray[np.float64]

_OPEN, _CLOSE = 0.7, -0.7
_HOVER = 0.055
"""Height above the grasp point from which the hand goes straight down, metres."""
_CARRY_HEIGHT = 0.10
_ALIGNED = 0.011
_OVER_CONTAINER = 0.015
_STRAY_DISTANCE = 0.03
_STRAY_HEIGHTS = (0.012, 0.09)
_STRAY_CLOSES = 0.3


class ScriptedExpert:
    """Grasps one object and, if asked, puts it into the container; then rests above.

    Args:
        robot: The arm to steer.
        scene: Where the things are; read at every call of `act`.
        target: Name of the object.
        kind: `"grasp"` or `"place"`.
        rng: Source of the noise.
        noise: Standard deviation of the Gaussian noise added to each action dimension.
    """

    def __init__(
        self,
        robot: Robot,
        scene: Scene,
        target: str,
        kind: TaskKind,
        rng: np.random.Generator,
        noise: float,
    ) -> None:
        """Remember what to do."""
        self._robot, self._scene, self._rng, self._noise = robot, scene, rng, noise
        self._object = next(p for p in scene.objects if p.thing.name == target)
        self._kind = kind
        self._released = False

    def act(self) -> npt.NDArray[np.float32]:
        """The next action (7,), noisy and clipped to the action box."""
        position, gripper = self._intend()
        action = np.zeros(7)
        action[:3] = position / POSITION_SCALE
        largest = np.abs(action[:3]).max()
        action[:3] /= max(1.0, largest)  # keep the direction: the path stays straight
        action[6] = gripper
        action += self._rng.normal(0.0, self._noise, 7)
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _intend(self) -> tuple[FloatArray, float]:
        """Wanted displacement of the fingertips in metres, and the gripper command."""
        if self._kind == "place" and self._released:
            return self._retreat()
        thing = np.array(self._scene.states[self._object.thing.name].position)
        base = thing - np.array([0.0, 0.0, 0.5 * self._object.thing.height])
        grasp_point = base + np.array(self._object.thing.grasp)
        offset = grasp_point - self._robot.tip
        if self._robot.closed:
            if np.linalg.norm(offset) > 0.035 or self._robot.opening < 0.02:
                return np.array([0.0, 0.0, 0.04]), _OPEN  # missed: open and rise
            return self._carry(base)
        if self._kind == "place" and is_placed(self._object, self._scene, self._robot):
            self._released = True
            return self._retreat()
        return self._reach(offset)

    def _reach(self, offset: FloatArray) -> tuple[FloatArray, float]:
        sideways = float(np.hypot(offset[0], offset[1]))
        if sideways > 0.03 and offset[2] < 0:
            # Stay above the objects until nearly over the target.
            return np.array([offset[0], offset[1], min(0.04, offset[2] + _HOVER)]), _OPEN
        if sideways > _ALIGNED:
            return np.array([offset[0], offset[1], max(-0.01, offset[2])]), _OPEN
        if offset[2] < -0.008:
            return offset, _OPEN
        return np.zeros(3), _CLOSE

    def _carry(self, base: FloatArray) -> tuple[FloatArray, float]:
        if self._kind == "grasp":
            return np.array([0.0, 0.0, _CARRY_HEIGHT - self._robot.tip[2]]), _CLOSE
        container = self._scene.container.thing
        cx, cy, _ = self._scene.states[container.name].position
        # Steer the object, not the hand: it rarely hangs exactly between the fingertips.
        dx, dy = cx - base[0], cy - base[1]
        clearance = base[2] - container.height
        distance = float(np.hypot(dx, dy))
        if distance > 0.03:
            climb = np.clip(0.035 - clearance, -0.04, 0.04)
            # Rise before travelling, or the object sweeps through its neighbours.
            speed = 1.0 if clearance > 0.0 or base[2] > 0.045 else 0.15
            return np.array([dx * speed, dy * speed, climb]), _CLOSE
        if distance > _OVER_CONTAINER:
            return np.array([dx, dy, 0.0]), _CLOSE
        if base[2] - container.floor > 0.025:
            return np.array([dx, dy, container.floor + 0.012 - base[2]]), _CLOSE
        return np.zeros(3), _OPEN

    def _retreat(self) -> tuple[FloatArray, float]:
        return np.array([0.0, 0.0, HOME[2] - self._robot.tip[2]]), _OPEN


class StrayPolicy:
    """Goes astray: heads for a point beside one of the things, and may close the gripper there.

    A few such steps before an expert takes over put it where its own noise never leads, low beside
    an object or with an empty fist, so that demonstrations show the way out as well.

    Args:
        robot: The arm to steer.
        scene: Where the things are now.
        rng: Source of its choices and its noise.
    """

    def __init__(self, robot: Robot, scene: Scene, rng: np.random.Generator) -> None:
        """Choose where to go."""
        self._robot, self._rng = robot, rng
        things = list(scene.states.values())
        x, y, _ = things[int(rng.integers(len(things)))].position
        dx, dy = rng.normal(0.0, _STRAY_DISTANCE, 2)
        self._goal = np.array([x + dx, y + dy, rng.uniform(*_STRAY_HEIGHTS)])
        self._closes = bool(rng.random() < _STRAY_CLOSES)

    def act(self) -> npt.NDArray[np.float32]:
        """The next action (7,), noisy and clipped to the action box."""
        offset = self._goal - self._robot.tip
        action = self._rng.normal(0.0, 0.1, 7)
        action[:3] += offset / max(POSITION_SCALE, float(np.abs(offset).max()))
        there = float(np.abs(offset).max()) < _ALIGNED
        action[6] += _CLOSE if there and self._closes else _OPEN
        return np.clip(action, -1.0, 1.0).astype(np.float32)
