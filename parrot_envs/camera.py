"""The fixed camera: small, fast images through PyBullet's CPU renderer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_envs.sim import bullet

ImageArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

TABLE_COLOR = (0.84, 0.81, 0.76)
FLOOR_COLOR = (0.62, 0.66, 0.70)
_EMPTY_DEPTH = 0.99999
"""TinyRenderer leaves pixels on which nothing is drawn one rounding step below 1."""
_LIGHT = {
    "lightDirection": (0.4, 0.3, 1.0),
    "lightAmbientCoeff": 0.65,
    "lightDiffuseCoeff": 0.35,
    "lightSpecularCoeff": 0.0,
    "shadow": 0,
}


@dataclass(frozen=True)
class CameraConfig:
    """Where the camera stands and what it sees. Metres and degrees.

    Attributes:
        target: The point in the middle of the image.
        distance: From the camera to `target`.
        pitch: Downward tilt, negative below the horizon.
        fov: Vertical field of view.
    """

    target: tuple[float, float, float] = (0.315, 0.0, 0.03)
    distance: float = 0.62
    pitch: float = -52.0
    fov: float = 30.0


class Camera:
    """Renders square images of the workspace, seen from the side opposite to the robot.

    The table is drawn once and lies behind everything else in each image: filling its pixels is
    the renderer's largest cost, and nothing is ever below it.
    """

    renderer = "pybullet-tiny"

    def __init__(self, size: int, config: CameraConfig | None = None) -> None:
        """Fix the image size (pixels) and the place of the camera."""
        self.size = size
        self.config = config or CameraConfig()
        c = self.config
        self._view = bullet.computeViewMatrixFromYawPitchRoll(
            c.target, c.distance, 90, c.pitch, 0, 2
        )
        self._projection = bullet.computeProjectionMatrixFOV(c.fov, 1.0, 0.1, 2.0)
        view = np.array(self._view).reshape(4, 4).T
        projection = np.array(self._projection).reshape(4, 4).T
        self._to_clip = projection @ view
        self._background = _as_pixels(self._draw_background())
        every_pixel = np.arange(0, 4 * size * size, 4).reshape(size, size, 1)
        self._rgb_bytes = every_pixel + np.arange(3)

    def spec(self) -> dict[str, Any]:
        """A JSON-able description; two cameras that draw alike have equal ones."""
        return {"renderer": self.renderer, "size": self.size, **asdict(self.config)}

    def image(self, client: int) -> ImageArray:
        """A fresh image (size, size, 3) uint8 RGB of the current state."""
        _, _, rgba, depth, _ = bullet.getCameraImage(
            self.size, self.size, self._view, self._projection,
            renderer=bullet.ER_TINY_RENDERER, flags=bullet.ER_NO_SEGMENTATION_MASK,
            physicsClientId=client, **_LIGHT,
        )  # fmt: skip
        drawn = np.asarray(rgba, np.uint8).reshape(-1).view(np.uint32)
        empty = np.asarray(depth).reshape(-1) >= _EMPTY_DEPTH
        # Whole pixels at once, then every byte but alpha: an eighth of the time of boolean
        # indexing on (size, size, 3).
        return np.where(empty, self._background, drawn).view(np.uint8).take(self._rgb_bytes)

    def project(self, points: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Pixel coordinates (N, 2) as (column, row), real-valued, of world points (N, 3)."""
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ self._to_clip.T
        ndc = homogeneous[:, :2] / homogeneous[:, 3:]
        column = (ndc[:, 0] + 1) * 0.5 * self.size - 0.5
        row = (1 - ndc[:, 1]) * 0.5 * self.size - 0.5
        return np.stack([column, row], axis=1).astype(np.float32)

    def _draw_background(self) -> ImageArray:
        """The empty table, by casting each pixel's ray onto the plane z = 0."""
        grid = (np.arange(self.size) + 0.5) / self.size * 2 - 1
        x, y = np.meshgrid(grid, -grid)
        inverse = np.linalg.inv(self._to_clip)
        near = np.stack([x, y, -np.ones_like(x), np.ones_like(x)], axis=-1) @ inverse.T
        far = np.stack([x, y, np.ones_like(x), np.ones_like(x)], axis=-1) @ inverse.T
        near, far = near[..., :3] / near[..., 3:], far[..., :3] / far[..., 3:]
        along = near[..., 2:] / (near[..., 2:] - far[..., 2:])
        hit = near + along * (far - near)
        on_table = (
            (along[..., 0] > 0) & (np.abs(hit[..., 0] - 0.31) < 0.2) & (np.abs(hit[..., 1]) < 0.25)
        )
        colors = np.where(on_table[..., None], np.array(TABLE_COLOR), np.array(FLOOR_COLOR))
        return (colors * 255).astype(np.uint8)


def _as_pixels(image: ImageArray) -> npt.NDArray[np.uint32]:
    """An RGB image (H, W, 3) as (H * W,) whole pixels, each four bytes with alpha."""
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([image, alpha], axis=-1).reshape(-1).view(np.uint32)
