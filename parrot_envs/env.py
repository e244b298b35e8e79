"""The manipulation environment: robot, scene, camera and task composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, SupportsFloat, TypeAlias

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from parrot_envs.appearance import ColorMode
from parrot_envs.camera import Camera, ImageArray
from parrot_envs.errors import EnvArgumentError, unknown_choice
from parrot_envs.experts import ScriptedExpert, StrayPolicy
from parrot_envs.robot import Robot
from parrot_envs.scene import Scene
from parrot_envs.scene_sets import ObjectChoice, SceneSet
from parrot_envs.sim import Simulator, has_display
from parrot_envs.task_setup import set_up_task
from parrot_envs.tasks import Situation, Task, TaskKind

Observation: TypeAlias = Any
ObservationMode: TypeAlias = Literal["image", "image_proprio"]
_OBSERVATION_MODES = ("image", "image_proprio")
_RENDER_MODES = ("rgb_array", "human")
_SMALLEST_IMAGE = 36
"""Below this the stock CNN of Stable-Baselines3 has nothing left after its convolutions."""
_VIDEO_SIZE = 256


@dataclass
class _Episode:
    scene: Scene
    task: Task
    success_once: bool = False


class ManipulationEnv(gym.Env[Observation, npt.NDArray[np.float32]]):
    """A 6-DoF arm with a parallel gripper, a container and two objects on a table.

    **Action**: `Box(-1, 1, (7,), float32)`; values outside are clipped, NaN is refused.

    | index | meaning | 1.0 stands for |
    |---|---|---|
    | 0, 1, 2 | move the fingertips along x, y, z | 0.04 m |
    | 3, 4, 5 | turn the hand about x, y, z | 0.15 rad |
    | 6 | gripper: below -0.5 closes, above 0.5 opens, else holds | |

    **Observation**: an RGB image `(image_size, image_size, 3) uint8` from one fixed camera, or with
    `obs="image_proprio"` a Dict of `image` and `proprio` `(8,) float32` (fingertips in m, hand
    angles in rad, opening 0..1, 1 if the gripper was told to close).

    **Reward and success**: 1.0 on each step on which the task's condition holds, else 0.0.
    `grasp`: the target hangs in the closed gripper, more than 0.04 m higher than it stood.
    `place`: the target lies on the container's floor, near its middle, and the gripper is open.
    `any`: either of both, for any object.

    **Start**: the arm is in its home pose, fingertips at (0.30, 0, 0.12) m, open. Two objects (the
    target among them) and a container are drawn, and stand at random places and angles on a
    rectangle of 0.18 m by 0.24 m, without overlap.

    **Episode end**: never terminates unless `terminate_on_success`; the registered ids truncate
    after 25 steps.

    **Info** (in `reset` and each `step`): `is_success`, `success_once`, `lifted`, `placed` and
    `target` (lists of object names), `keep` (an object is lifted or placed now).

    **Versions**: v0, the first.

    Args:
        scene: Name of the set of things to draw from, see `parrot_envs.scene_sets.SCENE_SETS`, or
            a `SceneSet` of your own.
        task: `"grasp"`, `"place"`, `"any"`, or a `Task` of your own, which then names the target.
        target: Name of the target object; None where any object counts.
        image_size: Side of the image in pixels, at least 36.
        render_mode: `"rgb_array"` for 256x256 pictures, `"human"` for PyBullet's window, or None.
        objects: Objects, or names of objects, to draw from instead of the set's own; or a pool by
            name: `"training"`, `"novel"` or `"bullet"` (meshes of PyBullet's data package). Where
            the id's target is not in the pool, any object counts.
        colors: `"fixed"`, `"random"` (new ones in each episode), `"shared"` (one new colour for all
            objects of the scene), or None for the set's own choice.
        obs: `"image"` or `"image_proprio"`.
        terminate_on_success: End the episode when the condition holds. Max-entropy RL then learns
            to avoid success, because the entropy bonus of further steps is worth more.

    Raises:
        EnvArgumentError: An argument is outside its range; the nearest valid name is suggested.
        EnvClosedError: The window cannot be opened.
    """

    # gymnasium declares it as an instance attribute, so it cannot be a ClassVar here.
    metadata = {  # noqa: RUF012
        # What is declared has to work, Gymnasium's checker tries it: without display no window.
        "render_modes": ["rgb_array", "human"] if has_display() else ["rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        scene: str | SceneSet = "multi-task",
        task: TaskKind | Task = "any",
        target: str | None = None,
        *,
        image_size: int = 48,
        render_mode: str | None = None,
        objects: ObjectChoice | None = None,
        colors: ColorMode | None = None,
        obs: ObservationMode = "image",
        terminate_on_success: bool = False,
    ) -> None:
        """Check the arguments, connect to the simulator and load the robot."""
        if obs not in _OBSERVATION_MODES:
            raise unknown_choice("obs", obs, _OBSERVATION_MODES)
        if render_mode is not None and render_mode not in _RENDER_MODES:
            raise unknown_choice("render_mode", render_mode, _RENDER_MODES)
        if not isinstance(image_size, int) or image_size < _SMALLEST_IMAGE:
            raise EnvArgumentError(
                f"image_size must be an int of at least {_SMALLEST_IMAGE} pixels (smaller images "
                f"are too small for the stock CNN), got {image_size!r}."
            )
        self._set, self._task = set_up_task(scene, task, target, objects, colors)
        self.terminate_on_success = terminate_on_success
        self.render_mode = render_mode
        self.image_size = image_size
        self._obs_mode = obs
        self.action_space = spaces.Box(-1.0, 1.0, (7,), np.float32)
        image = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        proprio = spaces.Box(-np.inf, np.inf, (8,), np.float32)
        self.observation_space = (
            image if obs == "image" else spaces.Dict({"image": image, "proprio": proprio})
        )
        self._episode: _Episode | None = None
        self._sim = Simulator(gui=render_mode == "human")
        self._load()
        self._camera = Camera(image_size)
        self._video_camera: Camera | None = None

    def _load(self) -> None:
        self._sim.add_table()
        self._robot = Robot(self._sim)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new things, stand them on the table and bring the arm home."""
        super().reset(seed=seed)
        _ = self._sim.client  # a closed env says so
        if self._sim.needs_reconnect():
            self._sim.reconnect()
            self._load()
        objects, container, colors = self._set.draw(self.np_random)
        self._robot.reset()
        scene = Scene(self._sim, objects, container, colors, self.np_random)
        # clear_things stepped the engine; bring the arm back to exactly its home pose.
        self._robot.reset()
        self._episode = _Episode(scene, self._task)
        return self._observe(), self._info()

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Carry out one action; see the class for its meaning."""
        checked = self._checked_action(action)
        episode = self._current()
        self._robot.apply(checked)
        episode.scene.refresh()
        info = self._info()
        success = info["is_success"]
        return self._observe(), float(success), success and self.terminate_on_success, False, info

    def render(self) -> ImageArray | None:
        """A 256x256 picture of the scene in mode `rgb_array`; the window draws itself."""
        if self.render_mode != "rgb_array":
            return None
        if self._video_camera is None:
            self._video_camera = Camera(_VIDEO_SIZE)
        return self._video_camera.image(self._sim.client)

    def close(self) -> None:
        """Disconnect from the simulator; more calls do nothing."""
        self._sim.close()

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> ScriptedExpert:
        """A scripted expert for this episode; with task `"any"` it draws what to do.

        Args:
            rng: Source of its choices and its noise.
            noise: Standard deviation of the Gaussian noise on every action dimension.
        """
        episode = self._current()
        target, kind = episode.task.target, episode.task.kind
        if target is None:
            target = str(rng.choice([p.thing.name for p in episode.scene.objects]))
        if kind == "any":
            kind = "grasp" if rng.random() < 0.5 else "place"
        return ScriptedExpert(self._robot, episode.scene, target, kind, rng, noise)

    def make_stray(self, rng: np.random.Generator) -> StrayPolicy:
        """A policy that goes astray; some steps of it before an expert diversify data."""
        return StrayPolicy(self._robot, self._current().scene, rng)

    def privileged_labels(self) -> dict[str, npt.NDArray[np.float32]]:
        """The simulator's state: where the things and the gripper are.

        `landmarks` (N, 3) m, objects first and the container last; `landmark_pixels` (N, 2) as
        (column, row); `landmark_kinds` (N,), 0 object or 1 container; `gripper` (5,): tip xyz,
        opening 0..1, 1.0 if something hangs in it.
        """
        episode = self._current()
        things = (*episode.scene.objects, episode.scene.container)
        positions = np.array([episode.scene.states[p.thing.name].position for p in things])
        held = bool(Situation(episode.scene, self._robot).lifted)
        return {
            "landmarks": positions.astype(np.float32),
            "landmark_pixels": self._camera.project(positions),
            "landmark_kinds": np.array([0.0] * (len(things) - 1) + [1.0], np.float32),
            "gripper": np.array([*self._robot.tip, self._robot.opening, held], np.float32),
        }

    def camera_spec(self) -> dict[str, Any]:
        """A JSON-able description of camera and renderer."""
        return self._camera.spec()

    def _current(self) -> _Episode:
        _ = self._sim.client
        if self._episode is None:
            raise gym.error.ResetNeeded(
                "Call reset() before step() or any question on the episode."
            )
        return self._episode

    def _checked_action(self, action: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        array = np.asarray(action, dtype=np.float64)
        if array.shape != (7,):
            raise EnvArgumentError(f"An action has shape (7,), got {array.shape}.")
        if not np.isfinite(array).all():
            raise EnvArgumentError(f"An action must be finite, got {array.tolist()}.")
        return np.clip(array, -1.0, 1.0)

    def _observe(self) -> Observation:
        image = self._camera.image(self._sim.client)
        if self._obs_mode == "image":
            return image
        return {"image": image, "proprio": self._robot.proprioception()}

    def _info(self) -> dict[str, Any]:
        episode = self._current()
        now = Situation(episode.scene, self._robot)
        success = bool(episode.task.succeeds(now))
        episode.success_once = episode.success_once or success
        return {
            "is_success": success,
            "success_once": episode.success_once,
            "lifted": now.lifted,
            "placed": now.placed,
            "target": [episode.task.target] if episode.task.target else [],
            "keep": bool(now.lifted or now.placed),
        }
