"""Closed-form kinematics of the arm in `assets/widowx250.urdf`.

The last three joint axes meet in the wrist centre, so that position and orientation separate:
waist, shoulder and elbow place the wrist centre, an x-y-x Euler triple turns the hand. Exact, and
several times faster than an iterative solver. All in Python's floats: matrix products of NumPy
round differently from processor to processor, and here a last bit makes another episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, atan2, cos, hypot, pi, sin, sqrt
from typing import TypeAlias

Vector: TypeAlias = tuple[float, float, float]
Axes: TypeAlias = tuple[Vector, Vector, Vector]
"""The x, y and z axis of a frame in the world: the columns of its rotation matrix."""

SHOULDER_HEIGHT = 0.11
UPPER_ARM = 0.25
FOREARM = 0.25
HAND = 0.162
"""Wrist centre to fingertips, metres."""

_REACH_MARGIN = 1e-4


def hand_axes(roll: float, pitch: float, yaw: float) -> Axes:
    """Axes of the hand; at zero angles it points straight down.

    The hand's x axis is the approach direction, its y axis the direction in which the fingers
    open. Angles in radians, about the world's axes, applied in the order roll, pitch, yaw.
    """
    cr, sr, cp, sp, cy, sy = cos(roll), sin(roll), cos(pitch), sin(pitch), cos(yaw), sin(yaw)
    # Rz(yaw) Ry(pitch) Rx(roll) times Ry(90 deg), whose columns are -z, y and x.
    return (
        (-(cy * sp * cr + sy * sr), -(sy * sp * cr - cy * sr), -(cp * cr)),
        (cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr),
        (cy * cp, sy * cp, -sp),
    )


def inverse(tip: Sequence[float], hand: Axes) -> list[float]:
    """Six joint angles in radians that bring the fingertips to `tip`, elbow up, wrist bent down.

    Args:
        tip: Position x, y, z of the fingertips in metres, in the robot's base frame.
        hand: Orientation of the hand as `hand_axes` gives it.

    A point out of reach gives the nearest stretched pose instead of NaN.
    """
    approach, sideways, upwards = hand
    wx, wy, wz = (t - HAND * a for t, a in zip(tip, approach, strict=True))
    waist = atan2(wy, wx)
    radius, height = hypot(wx, wy), wz - SHOULDER_HEIGHT
    distance = min(sqrt(radius**2 + height**2), UPPER_ARM + FOREARM - _REACH_MARGIN)
    cos_shoulder = (UPPER_ARM**2 + distance**2 - FOREARM**2) / (2 * UPPER_ARM * distance)
    elevation = atan2(height, radius) + acos(min(1.0, cos_shoulder))
    cos_elbow = (UPPER_ARM**2 + FOREARM**2 - distance**2) / (2 * UPPER_ARM * FOREARM)
    elbow = pi - acos(max(-1.0, min(1.0, cos_elbow)))
    x, y, z = _forearm(waist, elbow - elevation)
    wrist_pitch = acos(max(-1.0, min(1.0, _dot(x, approach))))
    roll = atan2(_dot(y, approach), -_dot(z, approach))
    wrist_roll = atan2(_dot(x, sideways), _dot(x, upwards))
    return [waist, -elevation, elbow, roll, wrist_pitch, wrist_roll]


def forward(joints: Sequence[float]) -> tuple[Vector, Axes]:
    """Fingertip position in metres and axes of the hand for six joint angles in radians."""
    waist, shoulder, elbow, roll, pitch, wrist_roll = joints
    lower = shoulder + elbow
    x, y, z = _forearm(waist, lower)
    y, z = _turned(y, z, roll)
    z, x = _turned(z, x, pitch)
    y, z = _turned(y, z, wrist_roll)
    radius = UPPER_ARM * cos(shoulder) + FOREARM * cos(lower)
    height = SHOULDER_HEIGHT - UPPER_ARM * sin(shoulder) - FOREARM * sin(lower)
    tip = (
        cos(waist) * radius + HAND * x[0],
        sin(waist) * radius + HAND * x[1],
        height + HAND * x[2],
    )
    return tip, (x, y, z)


def _forearm(waist: float, pitch: float) -> Axes:
    """Axes after Rz(waist) Ry(pitch)."""
    cw, sw, cp, sp = cos(waist), sin(waist), cos(pitch), sin(pitch)
    return (cw * cp, sw * cp, -sp), (-sw, cw, 0.0), (cw * sp, sw * sp, cp)


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _turned(a: Vector, b: Vector, angle: float) -> tuple[Vector, Vector]:
    """Two axes of a frame that is turned by an angle about its third, from `a` towards `b`."""
    c, s = cos(angle), sin(angle)
    return (
        (c * a[0] + s * b[0], c * a[1] + s * b[1], c * a[2] + s * b[2]),
        (c * b[0] - s * a[0], c * b[1] - s * a[1], c * b[2] - s * a[2]),
    )
