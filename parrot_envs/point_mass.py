"""A point with mass in a square, pushed by a force and seen from above: what its tasks share."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from parrot_envs.errors import (
    check_choice,
    check_noise,
    check_options,
    check_pixels,
    checked_action,
)

Vector: TypeAlias = npt.NDArray[np.float64]
ObservationMode: TypeAlias = Literal["image", "image_proprio", "keys", "state"]
OBSERVATION_MODES: tuple[ObservationMode, ...] = get_args(ObservationMode)

KEPT_SPEED = 0.5
"""Share of its velocity that the point keeps in a step."""
PUSH = 0.05
"""What a full push adds to the velocity; at most twice as much is the way of one step."""
POINT_RADIUS = 0.06
_SMALLEST_IMAGE = 36
_VIEW = 1.1
"""Half-width of what is seen; that of the square is 1."""
_GROUND, _POINT = (60, 60, 60), (250, 250, 250)


class Mark(NamedTuple):
    """Something to draw.

    Attributes:
        place: (2,) of its middle.
        color: RGB, 0 to 255.
        size: Radius of a disc, half the side of a square.
        square: Whether it is a square.
    """

    place: Vector
    color: tuple[int, int, int]
    size: float
    square: bool = False


class PointMassEnv(gym.Env[Any, npt.NDArray[np.float32]]):
    """Base of the tasks of a point mass in the square -1 ... 1; NumPy alone, and exact.

    **Action**: `Box(-1, 1, (2,), float32)`, a push along x and y; values outside are clipped, NaN
    is refused. Each step the point keeps half of its velocity, the push adds up to 0.05, and the
    point moves by its velocity, 0.1 a step at most in each direction. Walls stop it.

    **Observation**: with `obs="image"` a view from above `(image_size, image_size, 3) uint8`; with
    `obs="image_proprio"` a Dict of `image` and `proprio`; with `obs="keys"` a Dict of all vectors
    by name; with `obs="state"` these vectors joined in that order. `proprio` (4,) is the point's
    place and its velocity times 10.

    **Rendering**: `rgb_array`.

    Args:
        obs: `"image"`, `"image_proprio"`, `"keys"` or `"state"`.
        image_size: Side of the image in pixels, at least 36.
        render_mode: `"rgb_array"` for pictures, or None.
        render_size: Side of the pictures in pixels.

    Raises:
        EnvArgumentError: An argument is outside its range; the nearest valid name is suggested.
    """

    # gymnasium declares it as an instance attribute, so it cannot be a ClassVar here.
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        *,
        obs: ObservationMode = "image",
        image_size: int = 48,
        render_mode: str | None = None,
        render_size: int = 256,
    ) -> None:
        check_choice("obs", obs, OBSERVATION_MODES)
        if render_mode is not None:
            check_choice("render_mode", render_mode, ["rgb_array"])
        check_pixels("image_size", image_size, _SMALLEST_IMAGE, "less is too little for stock CNNs")
        check_pixels("render_size", render_size, 1, "the side of a picture")
        self._obs, self._sizes = obs, (image_size, render_size)
        self.render_mode = render_mode
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = self._space()
        self._started = False
        self.position = self.velocity = np.zeros(2)

    # What a task writes ---------------------------------------------------------------------------

    def _sizes_of_vectors(self) -> dict[str, int]:
        """Names and lengths of what there is to know beside the point itself."""
        raise NotImplementedError

    def _vectors(self) -> dict[str, Vector]:
        """The same as vectors."""
        raise NotImplementedError

    def _marks(self) -> list[Mark]:
        """What is drawn below the point."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Draw an episode from `self.np_random`; sets `position`."""
        raise NotImplementedError

    def _advance(self, before: Vector) -> float:
        """Change what the point changes on its way from `before` (2,); the reward."""
        raise NotImplementedError

    def _info(self) -> dict[str, Any]:
        """What `reset` and `step` tell beside the observation."""
        raise NotImplementedError

    # What all have --------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw a new episode."""
        check_options(options)
        super().reset(seed=seed)
        self.velocity = np.zeros(2)
        self._begin()
        self._started = True
        return self._observe(), self._info()

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Push the point; see `PointMassEnv` for the action's meaning."""
        push = checked_action(action, 2)
        self._require_episode()
        before = self.position
        self.position = np.clip(before + KEPT_SPEED * self.velocity + PUSH * push, -1.0, 1.0)
        reward = self._advance(before)
        self.velocity = self.position - before
        return self._observe(), reward, False, False, self._info()

    def render(self) -> npt.NDArray[np.uint8] | None:
        """A picture of the square in mode `rgb_array`."""
        return self._image(self._sizes[1]) if self.render_mode == "rgb_array" else None

    def privileged_labels(self) -> dict[str, npt.NDArray[np.float32]]:
        """The point's `position` (2,), and all vectors of the task by name."""
        self._require_episode()
        labels = {"position": self.position, **self._vectors()}
        return {name: vector.astype(np.float32) for name, vector in labels.items()}

    def camera_spec(self) -> dict[str, Any]:
        """A JSON-able description of how images are drawn."""
        return {"renderer": "point-mass", "size": self._sizes[0], "view": _VIEW}

    def _require_episode(self) -> None:
        if not self._started:
            raise gym.error.ResetNeeded("Call reset() before step() or any other question.")

    def _space(self) -> spaces.Space[Any]:
        lengths = {"proprio": 4, **self._sizes_of_vectors()}
        boxes: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-np.inf, np.inf, (length,), np.float32)
            for name, length in lengths.items()
        }
        size = self._sizes[0]
        image = spaces.Box(0, 255, (size, size, 3), np.uint8)
        if self._obs == "image":
            return image
        if self._obs == "image_proprio":
            return spaces.Dict({"image": image, "proprio": boxes["proprio"]})
        if self._obs == "keys":
            return spaces.Dict(boxes)
        return spaces.Box(-np.inf, np.inf, (sum(lengths.values()),), np.float32)

    def _observe(self) -> Any:
        if self._obs == "image":
            return self._image(self._sizes[0])
        proprio = np.concatenate([self.position, 10.0 * self.velocity]).astype(np.float32)
        if self._obs == "image_proprio":
            return {"image": self._image(self._sizes[0]), "proprio": proprio}
        others = {name: vector.astype(np.float32) for name, vector in self._vectors().items()}
        if self._obs == "keys":
            return {"proprio": proprio, **others}
        return np.concatenate([proprio, *others.values()])

    def _image(self, size: int) -> npt.NDArray[np.uint8]:
        """The square from above (size, size, 3), y upwards, and a wake that shows the velocity."""
        self._require_episode()
        axis = ((np.arange(size) + 0.5) / size * 2.0 - 1.0) * _VIEW
        image = np.full((size, size, 3), _GROUND, np.uint8)
        wake = Mark(self.position - 2.0 * self.velocity, (150, 150, 150), 0.7 * POINT_RADIUS)
        for place, color, reach, square in [
            *self._marks(), wake, Mark(self.position, _POINT, POINT_RADIUS),
        ]:  # fmt: skip
            x, y = np.abs(axis - place[0])[None, :], np.abs(axis[::-1] - place[1])[:, None]
            away = np.maximum(x, y) if square else np.hypot(x, y)
            image[away < reach] = color
        return image


class Steering:
    """Base of the experts: pushes the point to a place and stops there, in as few steps as it can.

    Args:
        env: Whose point it is.
        rng: Source of the noise.
        noise: Standard deviation of the Gaussian noise on both pushes.
    """

    def __init__(self, env: PointMassEnv, rng: np.random.Generator, noise: float) -> None:
        check_noise(noise)
        self._point, self._rng, self._noise = env, rng, noise

    def _aim(self) -> Vector:
        """Where to be next."""
        raise NotImplementedError

    def act(self) -> npt.NDArray[np.float32]:
        """The next push (2,), noisy and clipped to the action box."""
        way = self._aim() - self._point.position
        fastest = PUSH / (1.0 - KEPT_SPEED)
        wanted = way * min(1.0, fastest / max(float(np.abs(way).max()), 1e-9))
        push = (wanted - KEPT_SPEED * self._point.velocity) / PUSH
        push /= max(1.0, float(np.abs(push).max()))  # clipped, it would turn
        noisy = push + self._rng.normal(0.0, self._noise, 2)
        return np.clip(noisy, -1.0, 1.0).astype(np.float32)
