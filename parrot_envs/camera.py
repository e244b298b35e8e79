"""The fixed camera: small, fast images through PyBullet's CPU renderer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_envs.sim import bullet

ImageArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

TABLE_COLOR = (0.84, 0.81, 0.76)
FLOOR_COLOR = (0.62, 0.66, 0.70)
TABLE_CENTER, TABLE_HALF = (0.31, 0.0), (0.2, 0.25)
"""The rectangle (x, y) of the plane z = 0 that is drawn in the table's colour, metres."""
_NOMINAL_YAW = 90.0
_EMPTY_DEPTH = 0.99999
"""TinyRenderer leaves pixels on which nothing is drawn one rounding step below 1."""


@dataclass(frozen=True)
class CameraConfig:
    """Where the camera stands and what it sees. Metres and degrees.

    Attributes:
        target: The point in the middle of the image.
        distance: From the camera to `target`.
        pitch: Downward tilt, negative below the horizon.
        fov: Vertical field of view.
        yaw: Direction in which it looks; at 90 it faces the robot.
    """

    target: tuple[float, float, float] = (0.315, 0.0, 0.03)
    distance: float = 0.62
    pitch: float = -52.0
    fov: float = 30.0
    yaw: float = _NOMINAL_YAW


@dataclass(frozen=True)
class Light:
    """One distant lamp without shadows, and light from everywhere.

    Attributes:
        direction: From the table towards the lamp, of any length.
        ambient: Share of a surface's colour that is seen without the lamp.
        diffuse: Share that the lamp adds where it shines straight down on a surface.
    """

    direction: tuple[float, float, float] = (0.4, 0.3, 1.0)
    ambient: float = 0.65
    diffuse: float = 0.35

    @property
    def on_table(self) -> float:
        """Brightness of a horizontal surface, relative to its colour."""
        return self.ambient + self.diffuse * self.direction[2] / float(
            np.linalg.norm(self.direction)
        )


@dataclass(frozen=True)
class Look:
    """What decides a picture besides the things: camera, light, colours of table and floor."""

    camera: CameraConfig = CameraConfig()
    light: Light = Light()
    table: tuple[float, float, float] = TABLE_COLOR
    floor: tuple[float, float, float] = FLOOR_COLOR


NOMINAL_LOOK = Look()


class Camera:
    """Renders square images of the workspace, seen from the side opposite to the robot.

    The table is drawn once and lies behind everything else in each image: filling its pixels is
    the renderer's largest cost, and nothing is ever below it.
    """

    renderer = "pybullet-tiny"

    def __init__(self, size: int, look: Look = NOMINAL_LOOK) -> None:
        """Fix the image size (pixels) and how everything looks."""
        self.size = size
        self._look = look
        c = look.camera
        self._view = bullet.computeViewMatrixFromYawPitchRoll(
            c.target, c.distance, c.yaw, c.pitch, 0, 2
        )
        self._projection = bullet.computeProjectionMatrixFOV(c.fov, 1.0, 0.1, 2.0)
        view = np.array(self._view).reshape(4, 4).T
        projection = np.array(self._projection).reshape(4, 4).T
        self._to_clip = projection @ view
        self._light = {
            "lightDirection": look.light.direction,
            "lightAmbientCoeff": look.light.ambient,
            "lightDiffuseCoeff": look.light.diffuse,
            "lightSpecularCoeff": 0.0,
            "shadow": 0,
        }

    def spec(self) -> dict[str, Any]:
        """A JSON-able description; two cameras that draw alike have equal ones."""
        config = asdict(self._look.camera)
        if config["yaw"] == _NOMINAL_YAW:  # data of the days before there was a choice lack it
            del config["yaw"]
        return {"renderer": self.renderer, "size": self.size, **config}

    def image(self, client: int) -> ImageArray:
        """A fresh image (size, size, 3) uint8 RGB of the current state."""
        _, _, rgba, depth, _ = bullet.getCameraImage(
            self.size, self.size, self._view, self._projection,
            renderer=bullet.ER_TINY_RENDERER, flags=bullet.ER_NO_SEGMENTATION_MASK,
            physicsClientId=client, **self._light,
        )  # fmt: skip
        drawn = np.asarray(rgba, np.uint8).reshape(-1).view(np.uint32)
        empty = np.asarray(depth).reshape(-1) >= _EMPTY_DEPTH
        # Whole pixels at once, then every byte but alpha: an eighth of the time of boolean
        # indexing on (size, size, 3).
        return np.where(empty, self._background, drawn).view(np.uint8).take(_rgb_bytes(self.size))

    def project(self, points: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Pixel coordinates (N, 2) as (column, row), real-valued, of world points (N, 3)."""
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ self._to_clip.T
        ndc = homogeneous[:, :2] / homogeneous[:, 3:]
        column = (ndc[:, 0] + 1) * 0.5 * self.size - 0.5
        row = (1 - ndc[:, 1]) * 0.5 * self.size - 0.5
        return np.stack([column, row], axis=1).astype(np.float32)

    @cached_property
    def _background(self) -> npt.NDArray[np.uint32]:
        """The empty table as whole pixels (H * W,)."""
        return _as_pixels(self._draw_background())

    def _draw_background(self) -> ImageArray:
        """The empty table: which point of the plane z = 0 each pixel shows."""
        grid = (np.arange(self.size) + 0.5) / self.size * 2 - 1
        # From pixels to the plane and back is a 3x3 matrix, once z is left out.
        to_plane = np.linalg.inv(self._to_clip[np.ix_([0, 1, 3], [0, 1, 3])])
        x, y, w = (i * grid - j * grid[:, None] + k for i, j, k in to_plane)
        on_table = (
            (w > 0)
            & (np.abs(x / w - TABLE_CENTER[0]) < TABLE_HALF[0])
            & (np.abs(y / w - TABLE_CENTER[1]) < TABLE_HALF[1])
        )
        look = self._look
        colors = np.where(on_table[..., None], np.array(look.table), np.array(look.floor))
        # The named colours are those under the nominal light.
        brightness = look.light.on_table / NOMINAL_LOOK.light.on_table
        return np.clip(colors * brightness * 255, 0, 255).astype(np.uint8)


@cache
def _rgb_bytes(size: int) -> npt.NDArray[np.intp]:
    """Where the colours stand among the bytes of whole pixels, as (size, size, 3)."""
    every_pixel = np.arange(0, 4 * size * size, 4).reshape(size, size, 1)
    return every_pixel + np.arange(3)


def _as_pixels(image: ImageArray) -> npt.NDArray[np.uint32]:
    """An RGB image (H, W, 3) as (H * W,) whole pixels, each four bytes with alpha."""
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([image, alpha], axis=-1).reshape(-1).view(np.uint32)
