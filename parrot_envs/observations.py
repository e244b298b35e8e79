"""What an agent may see: an image, an image with proprioception, or the simulator's state."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from parrot_envs.camera import NOMINAL_LOOK, Camera, ImageArray, Look
from parrot_envs.episode import Episode
from parrot_envs.robot import Robot
from parrot_envs.scene import Placed, Scene
from parrot_envs.sim import bullet

ObservationMode: TypeAlias = Literal["image", "image_proprio", "state"]
OBSERVATION_MODES: tuple[ObservationMode, ...] = get_args(ObservationMode)

_ROBOT_FIELDS = {"tip": 3, "angles": 3, "opening": 1, "closed": 1}
_THING_FIELDS = {
    "position": 3,
    "rotation": 6,
    "velocity": 3,
    "is_target": 1,
    "radius": 1,
    "height": 1,
    "handle": 3,
    "place_radius": 1,
}


class Observer:
    """Turns the simulator into what agents and people see.

    Args:
        mode: What agents see.
        image_size: Side of their images, pixels.
        picture_size: Side of the pictures for people, pixels.
        objects: How many movable things there are.
    """

    def __init__(
        self, mode: ObservationMode, image_size: int, picture_size: int, objects: int
    ) -> None:
        """Take the nominal look."""
        self.space = _space(mode, image_size, objects)
        self._mode = mode
        self._sizes = image_size, picture_size
        self.aim(NOMINAL_LOOK)

    def aim(self, look: Look) -> None:
        """Point both cameras; nothing is drawn yet."""
        self._camera, self._picture_camera = (Camera(size, look) for size in self._sizes)

    def observe(self, robot: Robot, episode: Episode, client: int) -> Any:
        """A fresh observation; with `"state"` nothing is drawn."""
        if self._mode == "state":
            return state_vector(robot, episode.scene, episode.task.target, client)
        image = self._camera.image(client)
        if self._mode == "image":
            return image
        return {"image": image, "proprio": robot.proprioception()}

    def picture(self, client: int) -> ImageArray:
        """What a person gets to see."""
        return self._picture_camera.image(client)

    def pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Where world points (N, 3) are in the agents' image: (N, 2) as (column, row)."""
        return self._camera.project(points)

    def camera_spec(self) -> dict[str, Any]:
        """A description of the camera's nominal place, JSON-able."""
        return Camera(self._sizes[0]).spec()


def _space(mode: ObservationMode, image_size: int, objects: int) -> spaces.Space[Any]:
    if mode == "state":
        return _unbounded(state_size(objects))
    image = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
    if mode == "image":
        return image
    return spaces.Dict({"image": image, "proprio": _unbounded(sum(_ROBOT_FIELDS.values()))})


def state_size(objects: int = 2) -> int:
    """Length of the state vector with so many objects and one container."""
    return sum(_ROBOT_FIELDS.values()) + (objects + 1) * sum(_THING_FIELDS.values())


def state_layout(objects: int = 2) -> dict[str, slice]:
    """Where each field stands in the vector of `obs="state"`, with so many objects.

    | field | length | meaning |
    |---|---|---|
    | `tip` | 3 | fingertips x, y, z, metres |
    | `angles` | 3 | roll, pitch, yaw of the hand, radians |
    | `opening` | 1 | of the gripper, 0 to 1 |
    | `closed` | 1 | 1 if the gripper was told to close |

    and then for `object_0`, `object_1`, ... and last for `container`, as in `container.position`:

    | field | length | meaning |
    |---|---|---|
    | `position` | 3 | of the centre, metres; half the height above its foot |
    | `rotation` | 6 | first two columns of its rotation matrix, one after the other |
    | `velocity` | 3 | of the centre, metres a second |
    | `is_target` | 1 | 1 for the target, or for every object where any counts |
    | `radius`, `height` | 1, 1 | of the column that it fills while it stands, metres |
    | `handle` | 3 | from the centre to where it is grasped, or to the floor that things lie on in the container, while it stands, metres |
    | `place_radius` | 1 | of the container: what lies nearer to its middle is placed; else 0 |

    Example:
        >>> state_layout()["object_1.position"]
        slice(27, 30, None)
    """  # noqa: E501 - a table's rows cannot be broken
    fields = dict(_ROBOT_FIELDS)
    for thing in (*(f"object_{index}" for index in range(objects)), "container"):
        fields |= {f"{thing}.{name}": length for name, length in _THING_FIELDS.items()}
    ends = np.cumsum(list(fields.values())).tolist()
    return {
        name: slice(end - length, end)
        for (name, length), end in zip(fields.items(), ends, strict=True)
    }


def state_vector(
    robot: Robot, scene: Scene, target: str | None, client: int
) -> npt.NDArray[np.float32]:
    """The simulator's state (S,) float32 as `state_layout` says.

    Args:
        robot: The arm.
        scene: The things, whose poses were read after the last step.
        target: Name of the target, or None where any object counts.
        client: PyBullet's client, which is asked for velocities.
    """
    rows = [*robot.proprioception().tolist()]
    for placed in scene.objects:
        rows += _thing_row(placed, scene, client, target in (None, placed.thing.name))
    rows += _thing_row(scene.container, scene, client, False)
    return np.array(rows, dtype=np.float32)


def _thing_row(placed: Placed, scene: Scene, client: int, is_target: bool) -> list[float]:
    thing, state = placed.thing, scene.states[placed.thing.name]
    xx, xy, _, yx, yy, _, zx, zy, _ = bullet.getMatrixFromQuaternion(state.quaternion)
    velocity, _ = bullet.getBaseVelocity(placed.body, physicsClientId=client)
    x, y, z = (0.0, 0.0, thing.floor) if thing.mass == 0 else thing.grasp
    handle = (x, y, z - 0.5 * thing.height)
    return [
        *state.position, xx, yx, zx, xy, yy, zy, *velocity, float(is_target),
        thing.radius, thing.height, *handle, thing.place_radius,
    ]  # fmt: skip


def _unbounded(length: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (length,), np.float32)
