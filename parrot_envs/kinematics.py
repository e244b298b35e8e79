"""Closed-form kinematics of the arm in `assets/widowx250.urdf`.

The last three joint axes meet in the wrist centre, so that position and orientation separate:
waist, shoulder and elbow place the wrist centre, an x-y-x Euler triple turns the hand. Exact, and
several times faster than an iterative solver.
"""

from __future__ import annotations

from math import acos, atan2, cos, hypot, sin, sqrt

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SHOULDER_HEIGHT = 0.11
UPPER_ARM = 0.25
FOREARM = 0.25
HAND = 0.162
"""Wrist centre to fingertips, metres."""

_REACH_MARGIN = 1e-4


def hand_rotation(roll: float, pitch: float, yaw: float) -> FloatArray:
    """Rotation matrix (3, 3) of the hand; at zero angles it points straight down.

    The hand's x axis is the approach direction, its y axis the direction in which the fingers
    open. Angles in radians, about the world's axes, applied in the order roll, pitch, yaw.
    """
    cr, sr, cp, sp, cy, sy = cos(roll), sin(roll), cos(pitch), sin(pitch), cos(yaw), sin(yaw)
    # Rz(yaw) Ry(pitch) Rx(roll) times Ry(90 deg), whose columns are -z, y and x.
    x_col = (cy * cp, sy * cp, -sp)
    y_col = (cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr)
    z_col = (cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr)
    return np.array(
        [
            [-z_col[0], y_col[0], x_col[0]],
            [-z_col[1], y_col[1], x_col[1]],
            [-z_col[2], y_col[2], x_col[2]],
        ]
    )


def inverse(tip: FloatArray, rotation: FloatArray) -> FloatArray:
    """Joint angles (6,) in radians that bring the fingertips to `tip`, elbow up, wrist bent down.

    Args:
        tip: Position (3,) of the fingertips in metres, in the robot's base frame.
        rotation: Orientation (3, 3) of the hand as `hand_rotation` gives it.

    A point out of reach gives the nearest stretched pose instead of NaN.
    """
    # Python's floats: arithmetic on single elements of an array takes four times as long.
    wx, wy, wz = (tip - HAND * rotation[:, 0]).tolist()
    waist = atan2(wy, wx)
    radius, height = hypot(wx, wy), wz - SHOULDER_HEIGHT
    distance = min(sqrt(radius**2 + height**2), UPPER_ARM + FOREARM - _REACH_MARGIN)
    cos_shoulder = (UPPER_ARM**2 + distance**2 - FOREARM**2) / (2 * UPPER_ARM * distance)
    elevation = atan2(height, radius) + acos(min(1.0, cos_shoulder))
    cos_elbow = (UPPER_ARM**2 + FOREARM**2 - distance**2) / (2 * UPPER_ARM * FOREARM)
    elbow = np.pi - acos(max(-1.0, min(1.0, cos_elbow)))
    pitch = elbow - elevation
    cw, sw, cp, sp = cos(waist), sin(waist), cos(pitch), sin(pitch)
    # Rows of (Rz(waist) Ry(pitch))^T: the forearm's axes in the world.
    forearm = np.array([[cw * cp, sw * cp, -sp], [-sw, cw, 0.0], [cw * sp, sw * sp, cp]])
    (xx, xy, xz), (yx, _, _), (zx, _, _) = forearm.dot(rotation).tolist()
    wrist_pitch = acos(max(-1.0, min(1.0, xx)))
    return np.array([waist, -elevation, elbow, atan2(yx, -zx), wrist_pitch, atan2(xy, xz)])


def forward(joints: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fingertip position (3,) and hand rotation (3, 3) for joint angles (6,)."""
    waist, shoulder, elbow, roll, pitch, wrist_roll = joints.tolist()
    lower = shoulder + elbow
    cw, sw, cl, sl = cos(waist), sin(waist), cos(lower), sin(lower)
    radius = UPPER_ARM * cos(shoulder) + FOREARM * cl
    height = SHOULDER_HEIGHT - UPPER_ARM * sin(shoulder) - FOREARM * sl
    # Rz(waist) Ry(lower), whose entries are single products. The other three stay products of
    # matrices: sums written out would round differently from BLAS, and so change old episodes.
    forearm = np.array([[cw * cl, -sw, cw * sl], [sw * cl, cw, sw * sl], [-sl, 0.0, cl]])
    rotation = forearm.dot(_rotate_x(roll)).dot(_rotate_y(pitch)).dot(_rotate_x(wrist_roll))
    return np.array([cw * radius, sw * radius, height]) + HAND * rotation[:, 0], rotation


def _rotate_x(angle: float) -> FloatArray:
    c, s = cos(angle), sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rotate_y(angle: float) -> FloatArray:
    c, s = cos(angle), sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
