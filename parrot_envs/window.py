"""PyBullet's window, made to show what the camera shows."""

from __future__ import annotations

from parrot_envs.camera import TABLE_CENTER, TABLE_HALF, CameraConfig
from parrot_envs.sim import bullet

_DISTANCE = 0.5
"""The window's field of view is wider than the camera's, so it may look from closer."""


def show_workspace(client: int) -> None:
    """Look at the table from the camera's side, and outline it: the camera alone draws it."""
    camera = CameraConfig()
    bullet.resetDebugVisualizerCamera(
        _DISTANCE, camera.yaw, camera.pitch, camera.target, physicsClientId=client
    )
    (x, y), (dx, dy) = TABLE_CENTER, TABLE_HALF
    corners = [(x + i * dx, y + j * dy, 0.0) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
        bullet.addUserDebugLine(start, end, (0.5, 0.4, 0.3), 3, physicsClientId=client)
