"""One episode: the things on the table, how far the task is done, and what was done so far."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_envs.errors import check_noise
from parrot_envs.experts import ScriptedExpert
from parrot_envs.robot import Robot
from parrot_envs.scene import Scene
from parrot_envs.tasks import Situation, Task
from parrot_envs.unsafe import UnsafeWatch


class Episode:
    """What happens between two resets.

    Args:
        robot: The arm, at home.
        scene: The things, freshly placed.
        task: What to do.
        rng_at_reset: State of the generator before anything of the episode was drawn.

    Attributes:
        scene: The things.
        task: What to do.
        rng_at_reset: As given.
    """

    def __init__(
        self, robot: Robot, scene: Scene, task: Task, rng_at_reset: dict[str, Any]
    ) -> None:
        """Start."""
        self._robot = robot
        self.scene, self.task, self.rng_at_reset = scene, task, rng_at_reset
        self._actions = bytearray()  # a list would take three times the memory
        self._success_once = False
        self._watch, self._unsafe = UnsafeWatch(robot, scene), list[str]()
        self._judge()

    def advance(self, action: npt.NDArray[np.float64]) -> None:
        """Carry out one checked action (7,)."""
        self._robot.apply(action)
        self._actions += action.tobytes()
        self.scene.refresh()
        self._unsafe = self._watch.look()
        self._judge()

    def _judge(self) -> None:
        now = Situation(self.scene, self._robot)
        self._lifted, self._placed = now.lifted, now.placed
        self._success = bool(self.task.succeeds(now))
        self._success_once = self._success_once or self._success

    def info(self) -> dict[str, Any]:
        """What `reset` and `step` tell beside the observation."""
        return {
            "is_success": self._success,
            "success_once": self._success_once,
            "lifted": list(self._lifted),
            "placed": list(self._placed),
            "target": [self.task.target] if self.task.target else [],
            "keep": bool(self._lifted or self._placed),
            "unsafe": list(self._unsafe),
        }

    def expert(self, rng: np.random.Generator, noise: float) -> ScriptedExpert:
        """A scripted expert; with task `"any"` it draws what to do.

        Raises:
            EnvArgumentError: `noise` is negative or not finite.
        """
        check_noise(noise)
        target, kind = self.task.target, self.task.kind
        if target is None:
            target = str(rng.choice([p.thing.name for p in self.scene.objects]))
        if kind == "any":
            kind = "grasp" if rng.random() < 0.5 else "place"
        return ScriptedExpert(self._robot, self.scene, target, kind, rng, noise)

    def positions(self) -> npt.NDArray[np.float64]:
        """Centres (N, 3) of all things, objects first and the container last, metres."""
        things = (*self.scene.objects, self.scene.container)
        return np.array([self.scene.states[p.thing.name].position for p in things])

    def labels(self) -> dict[str, npt.NDArray[np.float32]]:
        """Where the things and the gripper are, see `ManipulationEnv.privileged_labels`."""
        positions = self.positions()
        kinds = [0.0] * (len(positions) - 1) + [1.0]
        gripper = [*self._robot.tip, self._robot.opening, bool(self._lifted)]
        return {
            "landmarks": positions.astype(np.float32),
            "landmark_kinds": np.array(kinds, np.float32),
            "gripper": np.array(gripper, np.float32),
        }

    def actions(self) -> list[list[float]]:
        """All actions so far as lists of 7 numbers."""
        rows: list[list[float]] = np.frombuffer(bytes(self._actions)).reshape(-1, 7).tolist()
        return rows

    def outcome(self) -> str:
        """A digest of where arm and things are, to the last bit."""
        poses = [[*state.position, *state.quaternion] for state in self.scene.states.values()]
        return sha256(self._robot.tip.tobytes() + np.array(poses).tobytes()).hexdigest()
