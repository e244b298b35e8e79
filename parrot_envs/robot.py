"""The arm with its gripper: actions in, joint targets out, proprioception."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import numpy.typing as npt

from parrot_envs import kinematics
from parrot_envs.sim import TIME_STEP, Simulator, bullet

FloatArray = npt.NDArray[np.float64]

POSITION_SCALE = 0.04
"""Metres that an action of 1 moves the fingertips along an axis."""
ANGLE_SCALE = 0.15
"""Radians that an action of 1 turns the hand about an axis."""
TIP_LOW = (0.19, -0.15, 0.010)
TIP_HIGH = (0.43, 0.15, 0.16)
MAX_TILT = 0.4
MAX_YAW = 1.2
_ANGLE_HIGH = (MAX_TILT, MAX_TILT, MAX_YAW)
HOME = (0.30, 0.0, 0.12)
OPEN_WIDTH = 0.038
"""Travel of each finger in metres: fully open is 76 mm between the fingers."""

_SUBSTEPS = 4
_TOGGLE_SUBSTEPS = 8
_GAIN = 0.8
_FINGER_FORCE = 6.0
_FINGER_FRICTION = 1.5
_JOINTS = range(8)
_JOINT_LIMITS = (3.1, 3.1, 3.1, 6.3, 3.1, 6.3)
"""Of the arm's joints, as in its description; symmetric, radians."""
_FINGERS = (6, 7)
_PALM_LINK = 5


class Robot:
    """A six-joint arm whose fingertips are commanded by differences of position and angle."""

    def __init__(self, sim: Simulator) -> None:
        """Load the arm at its home pose."""
        self._sim = sim
        path = str(files("parrot_envs") / "assets" / "widowx250.urdf")
        self._body: int = bullet.loadURDF(path, useFixedBase=True, physicsClientId=sim.client)
        for link in (_PALM_LINK, *_FINGERS):
            bullet.changeDynamics(
                self._body, link, lateralFriction=_FINGER_FRICTION, physicsClientId=sim.client
            )
        for joint in range(bullet.getNumJoints(self._body, physicsClientId=sim.client)):
            bullet.changeDynamics(
                self._body, joint, linearDamping=0, angularDamping=0, jointDamping=0,
                physicsClientId=sim.client,
            )  # fmt: skip
        self._home_joints = kinematics.inverse(HOME, kinematics.hand_axes(0, 0, 0))
        self._home_tip, _ = kinematics.forward(self._home_joints)
        self.reset()

    def reset(self) -> None:
        """Go home at once, with open fingers and motors that hold this pose."""
        self._angles = [0.0, 0.0, 0.0]
        self.closed = False
        client = self._sim.client
        for joint, target in enumerate((*self._home_joints, OPEN_WIDTH, OPEN_WIDTH)):
            bullet.resetJointState(self._body, joint, target, 0.0, physicsClientId=client)
        self._command_arm(self._home_joints, self._home_joints, _SUBSTEPS)
        self._command_fingers()
        # What _read would find.
        self._joints, self._width = self._home_joints, 2 * OPEN_WIDTH
        self.tip = np.array(self._home_tip)

    def apply(self, action: FloatArray) -> None:
        """Carry out one action (7,): position, angles and gripper as the env documents them."""
        # Python's floats throughout: NumPy takes longer for so few numbers.
        dx, dy, dz, *turns, gripper = action.tolist()
        self._angles = [
            min(max(angle + turn * ANGLE_SCALE, -limit), limit)
            for angle, turn, limit in zip(self._angles, turns, _ANGLE_HIGH, strict=True)
        ]
        tip = [
            min(max(at + delta * POSITION_SCALE, low), high)
            for at, delta, low, high in zip(
                self.tip.tolist(), (dx, dy, dz), TIP_LOW, TIP_HIGH, strict=True
            )
        ]
        was_closed = self.closed
        if gripper < -0.5:
            self.closed = True
        elif gripper > 0.5:
            self.closed = False
        substeps = _SUBSTEPS if self.closed == was_closed else _TOGGLE_SUBSTEPS
        targets = kinematics.inverse(tip, kinematics.hand_axes(*self._angles))
        self._command_arm(targets, self._joints, substeps)
        if self.closed != was_closed:
            self._command_fingers()
        self._sim.step(substeps)
        self.step_seconds = substeps * TIME_STEP
        self._read()

    def touching(self) -> dict[int, float]:
        """Bodies that the hand touches, and how hard it pushes down on each, newtons."""
        found: dict[int, float] = {}
        for contact in bullet.getContactPoints(self._body, physicsClientId=self._sim.client):
            other, link, normal, force = contact[2], contact[3], contact[7], contact[9]
            if other != self._body and link >= _PALM_LINK and force > 0.0:
                found[other] = found.get(other, 0.0) + force * max(normal[2], 0.0)
        return found

    def limit_distance(self) -> float:
        """Radians from the nearest limit of a joint of the arm; negative beyond it."""
        return min(limit - abs(at) for at, limit in zip(self._joints, _JOINT_LIMITS, strict=True))

    @property
    def opening(self) -> float:
        """Distance between the fingers as a fraction of the largest, 0..1."""
        return min(max(self._width / (2 * OPEN_WIDTH), 0.0), 1.0)

    def proprioception(self) -> npt.NDArray[np.float32]:
        """(8,): tip x, y, z (m); roll, pitch, yaw (rad); opening 0..1; 1 if told to close."""
        return np.array([*self.tip, *self._angles, self.opening, float(self.closed)], np.float32)

    def _read(self) -> None:
        states = bullet.getJointStates(self._body, _JOINTS, physicsClientId=self._sim.client)
        *self._joints, left, right = [state[0] for state in states]
        self._width = left + right
        self.tip = np.array(kinematics.forward(self._joints)[0])

    def _command_arm(self, targets: list[float], current: list[float], substeps: int) -> None:
        # The speed limit comes from the measured error: all joints arrive together, shortly
        # before the step ends, and what is held is not jerked.
        duration = 0.8 * substeps * TIME_STEP
        client = self._sim.client
        # One call for all joints would be cheaper, but none of PyBullet's heeds maxVelocity.
        for joint, (target, at) in enumerate(zip(targets, current, strict=True)):
            speed = abs(target - at) / duration
            bullet.setJointMotorControl2(
                self._body, joint, bullet.POSITION_CONTROL, targetPosition=target, force=60,
                positionGain=_GAIN, velocityGain=1.0, maxVelocity=max(speed, 0.02),
                physicsClientId=client,
            )  # fmt: skip

    def _command_fingers(self) -> None:
        target = 0.0 if self.closed else OPEN_WIDTH
        for finger in _FINGERS:
            bullet.setJointMotorControl2(
                self._body, finger, bullet.POSITION_CONTROL, targetPosition=target,
                force=_FINGER_FORCE, positionGain=0.3, velocityGain=1.0, maxVelocity=0.6,
                physicsClientId=self._sim.client,
            )  # fmt: skip
