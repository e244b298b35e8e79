"""A thin facade over one PyBullet client: its life, its settings and the bodies of one episode."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet_data

from parrot_envs.errors import EnvClosedError
from parrot_envs.shapes import Color, Part, Thing

TIME_STEP = 1 / 80
SOLVER_ITERATIONS = 20
OBJECT_FRICTION = 1.0
_RECONNECT_AFTER = 2_000
"""Bodies made and removed keep 6 kB each reset inside PyBullet; a new client gives it back."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyBullet's C code from writing its build time and `argv[0]=` to the user's terminal."""
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # C's buffer would reach the terminal later
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(sink)


with _quiet():
    import pybullet as bullet

__all__ = ["SOLVER_ITERATIONS", "TIME_STEP", "Simulator", "bullet"]

if not bullet.isNumpyEnabled():  # pragma: no cover - depends on how pybullet was compiled
    logging.getLogger(__name__).warning(
        "This pybullet was compiled without NumPy: camera images will be very slow. "
        "Reinstall it with NumPy present, or take the conda-forge package."
    )


class Simulator:
    """One PyBullet client with the physics settings of this package. SI units throughout.

    Args:
        gui: Open PyBullet's window instead of running headless.
    """

    def __init__(self, *, gui: bool = False) -> None:
        """Connect."""
        self._gui = gui
        self._client: int | None = None
        self._shapes: dict[Thing, tuple[int, int]] = {}
        self._bodies: list[int] = []
        self._resets = 0
        self._connect()

    def _connect(self) -> None:
        with usable_display() if self._gui else nullcontext():
            client = _connected(gui=self._gui)
        self._client = client
        # An env that nobody closes must not keep its client: there are only so many.
        self._finalizer = weakref.finalize(self, _disconnect, client, gui=self._gui)
        # Without deterministicOverlappingPairs contacts depend on the client's history.
        bullet.setPhysicsEngineParameter(
            deterministicOverlappingPairs=1,
            numSolverIterations=SOLVER_ITERATIONS,
            solverResidualThreshold=1e-3,
            physicsClientId=self._client,
        )
        bullet.setTimeStep(TIME_STEP, physicsClientId=self._client)
        bullet.setGravity(0, 0, -9.81, physicsClientId=self._client)

    @property
    def client(self) -> int:
        """PyBullet's client id."""
        if self._client is None:
            raise EnvClosedError("This environment is closed. Make a new one with gym.make.")
        return self._client

    def close(self) -> None:
        """Disconnect; more calls do nothing."""
        if self._client is not None:
            self._finalizer()
            self._client = None

    @contextmanager
    def window(self, *, still: bool = False) -> Iterator[None]:
        """Do something before the eyes of who watches the window, if there is one.

        Args:
            still: Show only how it ends. What is made or moved is then not drawn piece by piece,
                for which PyBullet takes a frame each.
        """
        client = self.client
        try:
            with _undrawn(client) if self._gui and still else nullcontext():
                yield
        except bullet.error as error:
            if not self._gui or bullet.isConnected(client):
                raise
            self.close()
            raise EnvClosedError("The window was closed, and the env with it.") from error

    def needs_reconnect(self) -> bool:
        """Whether so many episodes were played that the client should be renewed."""
        self._resets += 1
        return not self._gui and self._resets > _RECONNECT_AFTER

    def reconnect(self) -> None:
        """Start over with an empty client; whatever was loaded is gone."""
        self.close()
        self._shapes.clear()
        self._bodies.clear()
        self._resets = 0
        self._connect()

    def clear_things(self) -> None:
        """Remove the things of the last episode, and let the engine forget their contacts."""
        for body in self._bodies:
            bullet.removeBody(body, physicsClientId=self.client)
        self._bodies.clear()
        bullet.stepSimulation(physicsClientId=self.client)

    def add_thing(
        self, thing: Thing, position: tuple[float, float], yaw: float, colors: tuple[Color, Color]
    ) -> int:
        """Stand `thing` on the table at `position` (x, y) and return its body id."""
        collision, visual = self._thing_shapes(thing)
        body: int = bullet.createMultiBody(
            thing.mass,
            collision,
            visual,
            (*position, _origin_height(thing)),
            bullet.getQuaternionFromEuler((0, 0, yaw)),
            useMaximalCoordinates=1,  # the multibody solver takes longer, see docs/speed.md
            physicsClientId=self.client,
        )
        self.paint(body, thing, colors)
        bullet.changeDynamics(
            body, -1, lateralFriction=OBJECT_FRICTION, rollingFriction=0.002,
            spinningFriction=0.002, physicsClientId=self.client,
        )  # fmt: skip
        self._bodies.append(body)
        return body

    def paint(self, body: int, thing: Thing, colors: tuple[Color, Color]) -> None:
        """Give a thing its first and second colour."""
        for index, part in enumerate(thing.parts):
            bullet.changeVisualShape(
                body, -1, shapeIndex=index, rgbaColor=(*colors[part.tone], 1),
                physicsClientId=self.client,
            )  # fmt: skip

    def add_table(self) -> None:
        """Add the collision shape of the table; it is drawn by the camera, not by PyBullet."""
        shape = bullet.createCollisionShape(
            bullet.GEOM_BOX, halfExtents=(0.6, 0.6, 0.05), physicsClientId=self.client
        )
        # A body without visual shape would be drawn as its collision shape: give it a speck.
        speck = bullet.createVisualShape(
            bullet.GEOM_BOX, halfExtents=(1e-4, 1e-4, 1e-4), physicsClientId=self.client
        )
        bullet.createMultiBody(0, shape, speck, (0.35, 0, -0.05), physicsClientId=self.client)

    def pose(self, body: int) -> tuple[tuple[float, float, float], tuple[float, ...]]:
        """Position of a body's origin (centre of its bounding column), quaternion (x, y, z, w)."""
        position, quaternion = bullet.getBasePositionAndOrientation(
            body, physicsClientId=self.client
        )
        return position, quaternion

    def step(self, count: int) -> None:
        """Advance by `count` time steps."""
        client = self.client
        for _ in range(count):
            started = time.perf_counter()
            bullet.stepSimulation(physicsClientId=client)
            if self._gui:  # somebody watches: real time
                time.sleep(max(0.0, started + TIME_STEP - time.perf_counter()))

    def _thing_shapes(self, thing: Thing) -> tuple[int, int]:
        if thing not in self._shapes:
            origin = _origin_height(thing)
            self._shapes[thing] = (
                bullet.createCollisionShapeArray(
                    **_shape_arrays([p for p in thing.parts if p.collides], origin, "collision"),
                    physicsClientId=self.client,
                ),
                bullet.createVisualShapeArray(
                    **_shape_arrays(list(thing.parts), origin, "visual"),
                    physicsClientId=self.client,
                ),
            )
        return self._shapes[thing]


def _connected(*, gui: bool) -> int:
    """A new client."""
    with _quiet():
        try:
            client: int = bullet.connect(bullet.GUI if gui else bullet.DIRECT)
        except bullet.error as error:
            one = "There is one window in a process at most: close the other env first."
            raise EnvClosedError(one if gui else f"PyBullet gave no client: {error}") from error
        if gui:  # no panels, and no hands: an episode is the same with and without a window
            for feature in (bullet.COV_ENABLE_GUI, bullet.COV_ENABLE_MOUSE_PICKING):
                bullet.configureDebugVisualizer(feature, 0, physicsClientId=client)
    if client < 0:
        raise EnvClosedError("PyBullet gave no client: too many envs are open. Close some.")
    return client


def _disconnect(client: int, *, gui: bool) -> None:
    if bullet.isConnected(client):
        with _quiet() if gui else nullcontext():
            bullet.disconnect(client)


@contextmanager
def _undrawn(client: int) -> Iterator[None]:
    """Let the window stand still."""
    draws = bullet.COV_ENABLE_RENDERING
    bullet.configureDebugVisualizer(draws, 0, physicsClientId=client)
    try:
        yield
    finally:
        if bullet.isConnected(client):
            bullet.configureDebugVisualizer(draws, 1, physicsClientId=client)


def _origin_height(thing: Thing) -> float:
    """Height of a thing's body origin (centre of mass) above the table while it stands."""
    return 0.5 * thing.height


_KINDS = {
    "box": bullet.GEOM_BOX,
    "cylinder": bullet.GEOM_CYLINDER,
    "sphere": bullet.GEOM_SPHERE,
    "mesh": bullet.GEOM_MESH,
}
_ROUND_MESHES = {
    kind: str(files("parrot_envs") / f"assets/{kind}.obj") for kind in ("cylinder", "sphere")
}
"""What round parts are drawn with, from docs/make_round_meshes.py. For every cylinder and sphere of
a new body PyBullet would compute a convex hull, in five times the time."""


def _shape_arrays(parts: list[Part], origin: float, use: str) -> dict[str, Any]:
    frames: list[npt.ArrayLike] = [
        (p.position[0], p.position[1], p.position[2] - origin) for p in parts
    ]
    meshes = [_ROUND_MESHES.get(p.kind, p.mesh) if use == "visual" else p.mesh for p in parts]
    return {
        "shapeTypes": [
            bullet.GEOM_MESH if m else _KINDS[p.kind] for p, m in zip(parts, meshes, strict=True)
        ],
        "fileNames": [os.path.join(pybullet_data.getDataPath(), m) for m in meshes],
        "meshScales": [list(p.size) for p in parts],
        f"{use}FrameOrientations": [list(p.rotation) for p in parts],
        "halfExtents": [list(p.size) for p in parts],
        "radii": [p.size[0] for p in parts],
        "lengths": [2 * p.size[2] for p in parts],
        f"{use}FramePositions": [list(np.asarray(f, dtype=float)) for f in frames],
    }


_PATIENCE = 2.0
"""Seconds to wait for an X server: one without other windows starts anew when the last one goes."""


def has_display() -> bool:
    """Whether a display is named for PyBullet's window; on Linux it needs X11."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY"))


@contextmanager
def usable_display() -> Iterator[None]:
    """A display that answers and draws with OpenGL; it is held until the block ends."""
    if sys.platform != "linux":
        yield
        return
    name = os.environ.get("DISPLAY")
    if not name:
        raise _unusable("DISPLAY is not set")
    x11, _ = _library("libX11.so.6"), _library("libGL.so.1")  # what PyBullet loads
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = ctypes.c_void_p(_open(x11))
    if not display:
        raise _unusable(f"no X server answers at DISPLAY={name}")
    try:
        if not x11.XQueryExtension(display, b"GLX", *(ctypes.byref(ctypes.c_int()),) * 3):
            raise _unusable(f"the X server at DISPLAY={name} has no OpenGL (GLX)")
        yield
    finally:
        x11.XCloseDisplay(display)


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise _unusable(f"{name} is not installed") from error


def _open(x11: ctypes.CDLL) -> int | None:
    """Xlib's handle of the display, None where no server answers."""
    given_up = time.monotonic() + _PATIENCE
    while True:
        display: int | None = x11.XOpenDisplay(None)
        if display or time.monotonic() > given_up:
            return display
        time.sleep(0.05)


def _unusable(reason: str) -> EnvClosedError:
    return EnvClosedError(f"render_mode='human' needs a display, and {reason}. Take 'rgb_array'.")
