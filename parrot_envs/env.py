"""The manipulation environment: robot, scene, camera and task composed."""

from __future__ import annotations

from typing import Any, SupportsFloat, TypeAlias

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from parrot_envs.appearance import ColorMode
from parrot_envs.camera import TABLE_CENTER, TABLE_HALF, CameraConfig, ImageArray
from parrot_envs.domain_randomization import Randomization, checked_randomizations, dress
from parrot_envs.episode import Episode
from parrot_envs.episode_state import EpisodeState, generator_from, state_of
from parrot_envs.errors import (
    ACTION_SIZE,
    EnvArgumentError,
    check_choice,
    check_flag,
    check_options,
    check_pixels,
    checked_action,
)
from parrot_envs.experts import ScriptedExpert, StrayPolicy
from parrot_envs.observations import OBSERVATION_MODES, ObservationMode, Observer
from parrot_envs.robot import Robot
from parrot_envs.scene import Scene
from parrot_envs.scene_sets import OBJECTS_IN_SCENE, SCENE_SETS, ObjectChoice, SceneSet
from parrot_envs.sim import Simulator, bullet, has_display
from parrot_envs.tasks import Task, TaskKind
from parrot_envs.thing_library import object_library, pool_of_objects

Observation: TypeAlias = Any
_RENDER_MODES = ("rgb_array", "human")
_SMALLEST_IMAGE = 36


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
    angles in rad, opening 0..1, 1 if the gripper was told to close), or with `obs="state"` the
    simulator's state as a vector, see `parrot_envs.observations.state_layout`; nothing is drawn.

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
    `target` (lists of object names), `keep` (an object is lifted or placed now), `unsafe` (names of
    what a real arm should not do, in this step, see `parrot_envs.unsafe.UnsafeWatch`).

    **Versions**: v0, the first.

    Args:
        scene: Name of the set of things to draw from, see `parrot_envs.scene_sets.SCENE_SETS`, or
            a `SceneSet` of your own.
        task: `"grasp"`, `"place"`, `"any"`, or a `Task` of your own, which then names the target.
        target: Name of the target object; None where any object counts.
        image_size: Side of the image in pixels, at least 36: with less, the stock CNN of
            Stable-Baselines3 has nothing left after its convolutions.
        render_mode: `"rgb_array"` for pictures, `"human"` for PyBullet's window, or None.
        render_size: Side of the pictures in pixels.
        objects: Objects, or names of objects, to draw from instead of the set's own; or a pool by
            name: `"training"`, `"novel"` or `"bullet"` (meshes of PyBullet's data package). Where
            the id's target is not in the pool, any object counts.
        colors: `"fixed"`, `"random"` (in each episode), `"shared"` (one random colour for all
            objects), or None for the set's own choice.
        obs: `"image"`, `"image_proprio"` or `"state"`.
        randomize: What looks different in every episode: any of `"camera"`, `"colors"`, `"light"`;
            ranges are in `parrot_envs.domain_randomization`.
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
        render_size: int = 256,
        objects: ObjectChoice | None = None,
        colors: ColorMode | None = None,
        obs: ObservationMode = "image",
        randomize: tuple[Randomization, ...] | list[Randomization] | Randomization = (),
        terminate_on_success: bool = False,
    ) -> None:
        """Check the arguments, connect to the simulator and load the robot."""
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        check_choice("obs", obs, OBSERVATION_MODES)
        if render_mode is not None:
            check_choice("render_mode", render_mode, _RENDER_MODES)
        check_pixels("image_size", image_size, _SMALLEST_IMAGE, "less is too little for stock CNNs")
        check_pixels("render_size", render_size, 1, "the side of a picture")
        check_flag("terminate_on_success", terminate_on_success)
        self._randomize = checked_randomizations(randomize)
        self._set, self._task = set_up_task(scene, task, target, objects, colors)
        self.terminate_on_success = terminate_on_success
        self.render_mode = render_mode
        self.image_size = image_size
        self._observer = Observer(obs, image_size, render_size, OBJECTS_IN_SCENE)
        self.observation_space = self._observer.space
        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        self._episode: Episode | None = None
        self._sim = Simulator(gui=render_mode == "human")
        self._load()

    def __getstate__(self) -> dict[str, Any]:
        """A copy is an env of its own, with a simulator of its own, in the same state."""
        _ = self._sim.client
        saved = None if self._episode is None else self.save_state()
        return {"arguments": self._arguments, "spec": self.spec, "saved": saved}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the env anew and play up to where the other one was."""
        self.__init__(**state["arguments"])  # type: ignore[misc]  # connects to a new simulator
        self.spec = state["spec"]
        if state["saved"] is not None:
            self.restore_state(state["saved"])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new things, stand them on the table and bring the arm home."""
        check_options(options)
        with self._sim.window(still=True):  # a closed env says so
            super().reset(seed=seed)
            self._begin()
            return self._observe(), self._current().info()

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Carry out one action; see the class for its meaning."""
        checked = checked_action(action)
        with self._sim.window():
            self._current().advance(checked)
            info = self._current().info()
            observation = self._observe()
        success = info["is_success"]
        return observation, float(success), success and self.terminate_on_success, False, info

    def render(self) -> ImageArray | None:
        """A picture of the scene in mode `rgb_array`; the window draws itself."""
        drawn = self.render_mode == "rgb_array"
        return self._observer.picture(self._sim.client) if drawn else None

    def close(self) -> None:
        """Disconnect from the simulator; more calls do nothing."""
        self._sim.close()

    def save_state(self) -> bytes:
        """The episode as it is now, to go on from later, in this env or another, anywhere.

        Holds the env's generator and the actions so far, as JSON text. Wrappers keep their own
        counts: to save those of `gym.make` as well, copy or pickle the wrapped env.

        Raises:
            ResetNeeded: There is no episode yet.
            EnvStateError: `np_random` was replaced by a generator of another kind.
        """
        episode = self._current()
        return EpisodeState(
            self._deciding(), episode.rng_at_reset, state_of(self.np_random),
            episode.actions(), episode.outcome(),
        ).to_bytes()  # fmt: skip

    def restore_state(self, saved: bytes) -> tuple[Observation, dict[str, Any]]:
        """Go back to a saved state: what follows is the same, bit for bit, as it was after saving.

        Plays the saved actions again without drawing, which takes a reset and as many steps.

        Args:
            saved: From `save_state` of an env with the same scene, task, target, objects and
                randomisation; images, rendering and the rest may differ.

        Returns:
            Observation and info, as after the last step.

        Raises:
            EnvStateError: The state is foreign, altered or of an env with other arguments, or does
                not lead where it led: another version of this package or of PyBullet, or another
                kind of machine.
        """
        state = EpisodeState.from_bytes(saved)
        state.check_arguments(self._deciding())
        _ = self._sim.client
        self.np_random = generator_from(state.rng_at_reset)
        self._begin()
        episode = self._current()
        for action in state.actions:
            episode.advance(np.array(action))
        self._episode = None  # if it is not what was saved, it cannot be played on
        state.check_outcome(episode.outcome())
        self._episode = episode
        self.np_random = generator_from(state.rng_now)
        return self._observe(), episode.info()

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> ScriptedExpert:
        """A scripted expert for this episode; with task `"any"` it draws what to do.

        Args:
            rng: Source of its choices and its noise.
            noise: Standard deviation of the Gaussian noise on every action dimension.
        """
        return self._current().expert(rng, noise)

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
        return {**episode.labels(), "landmark_pixels": self._observer.pixels(episode.positions())}

    def camera_spec(self) -> dict[str, Any]:
        """A JSON-able description of camera and renderer, and of what is randomised if anything."""
        spec = self._observer.camera_spec()
        return {**spec, "randomize": list(self._randomize)} if self._randomize else spec

    def _load(self) -> None:
        self._sim.add_table()
        self._robot = Robot(self._sim)
        if self.render_mode == "human":
            show_workspace(self._sim.client)

    def _begin(self) -> None:
        """Draw an episode from the env's generator and set it up."""
        self._episode = None  # if this fails, the table is not as it was
        rng_at_reset = dict(self.np_random.bit_generator.state)
        if self._sim.needs_reconnect():
            self._sim.reconnect()
            self._load()
        objects, container, colors = self._set.draw(self.np_random)
        self._robot.reset()
        scene = Scene(self._sim, objects, container, colors, self.np_random)
        self._robot.reset()  # clear_things stepped the engine: back to exactly the home pose
        if self._randomize:
            look = dress(scene, self._sim, self.np_random, self._randomize, self._set.colors)
            self._observer.aim(look)
        self._episode = Episode(self._robot, scene, self._task, rng_at_reset)

    def _current(self) -> Episode:
        _ = self._sim.client
        if self._episode is None:
            raise gym.error.ResetNeeded("Call reset() before step() or any other question.")
        return self._episode

    def _deciding(self) -> dict[str, Any]:
        """What decides an episode beside the generator, JSON-able."""
        chosen = self._set
        return {
            "task": repr(self._task),
            "objects": [thing.name for thing in chosen.objects],
            "containers": [thing.name for thing in chosen.containers],
            "colors": chosen.colors,
            "randomize": list(self._randomize),
        }

    def _observe(self) -> Observation:
        return self._observer.observe(self._robot, self._current(), self._sim.client)


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


def set_up_task(
    scene: str | SceneSet,
    task: TaskKind | Task,
    target: str | None,
    objects: ObjectChoice | None,
    colors: ColorMode | None,
) -> tuple[SceneSet, Task]:
    """What to draw scenes from, and what to do there; see `ManipulationEnv` for the arguments."""
    if isinstance(task, Task):
        if target is not None:
            raise EnvArgumentError(
                f"The task names its target itself ({task.target!r}), got target={target!r} "
                "beside it. Leave target out."
            )
    elif isinstance(task, str):
        task = Task(task, _target_on_table(target, objects))
    else:
        raise EnvArgumentError(f"task is a name or a Task, got {type(task).__name__}.")
    chosen = _scene_set(scene).but_with(objects=objects, colors=colors, always=task.target)
    return chosen, task


def _scene_set(scene: str | SceneSet) -> SceneSet:
    if isinstance(scene, SceneSet):
        return scene
    if not isinstance(scene, str):
        raise EnvArgumentError(f"scene is a name or a SceneSet, got {type(scene).__name__}.")
    check_choice("scene", scene, SCENE_SETS)
    return SCENE_SETS[scene]


def _target_on_table(target: str | None, objects: ObjectChoice | None) -> str | None:
    """The target, but None where a pool of objects takes the place of those with the target."""
    if target is None or not isinstance(objects, str):
        return target
    there = {thing.name for thing in pool_of_objects(objects)}
    return None if target not in there and target in object_library() else target
