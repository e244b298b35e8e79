"""Tasks of Gymnasium-Robotics and Meta-World with image, state and scripted expert in one env.

The physics, tasks and starts are the packages' own; the reward is 1 on a step with success, else 0.
Two things differ: the camera, and the time limit. Frames have no shadows, reflections, skybox or
multisampling, which cost a software renderer most of its time. Ids are registered on import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import gymnasium_robotics
import metaworld.policies
import mujoco
import numpy as np
from gymnasium.spaces import Box, Dict
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from numpy.typing import NDArray

Array = NDArray[Any]
ABOVE = np.array([0.0, 0.0, 0.07])
UNSEEN = ("mjRND_SHADOW", "mjRND_REFLECTION", "mjRND_SKYBOX")


class Camera:
    """A cheap view of a MuJoCo scene.

    Args:
        model: Of the scene; its multisampling and shadows are switched off.
        pixels: Side of the image.
        view: Fields of `mujoco.MjvCamera`.
    """

    def __init__(self, model: Any, pixels: int, view: Mapping[str, Any]) -> None:
        model.vis.quality.shadowsize = model.vis.quality.offsamples = 0
        self._renderer = mujoco.Renderer(model, pixels, pixels)
        self._camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(model, self._camera)
        for field, value in view.items():
            setattr(self._camera, field, value)

    def __call__(self, data: Any) -> NDArray[np.uint8]:
        """The image (pixels, pixels, 3)."""
        self._renderer.update_scene(data, self._camera)
        for flag in UNSEEN:
            self._renderer.scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 0
        image: NDArray[np.uint8] = self._renderer.render()
        return image


class Sight(gym.Env[dict[str, Array], Array]):
    """A task seen in three parts: "image", "proprio" (the hand alone) and "state" (everything).

    Args:
        bare: The task.
        view: Of the camera.
        pixels: Side of the image; 0 for no image.
    """

    def __init__(self, bare: Any, view: Mapping[str, Any], pixels: int = 84) -> None:
        self.bare, self._view, self._pixels = bare, view, pixels
        self._camera: Camera | None = None
        self.action_space = bare.action_space
        seen = self._vectors(self._begin(0))
        parts: dict[str, Box] = {
            name: Box(-np.inf, np.inf, vector.shape, np.float32) for name, vector in seen.items()
        }
        if pixels:
            parts["image"] = Box(0, 255, (pixels, pixels, 3), np.uint8)
        self.observation_space = Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """A new start and a new goal."""
        super().reset(seed=seed)
        self.now = self._begin(int(self.np_random.integers(2**31)))
        return self._look(), {}

    def step(self, action: Array) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        """A step of the task; only a time limit ends the episode."""
        self.now, *_, info = self.bare.step(np.clip(action, -1.0, 1.0))
        success = bool(info.get("is_success", info.get("success")))
        return self._look(), float(success), False, False, {"is_success": success}

    def _look(self) -> dict[str, Array]:
        seen = self._vectors(self.now)
        if self._pixels:
            if self._camera is None:  # a renderer stays with the process that made it
                self._camera = Camera(self.bare.model, self._pixels, self._view)
            self._show()
            seen["image"] = self._camera(self.bare.data)
        return seen

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> Noisy:
        """The task's scripted policy with Gaussian noise on its actions."""
        return Noisy(self, self._script(), rng, noise)

    def _begin(self, seed: int) -> Any:
        raise NotImplementedError

    def _vectors(self, observation: Any) -> dict[str, Array]:
        raise NotImplementedError

    def _script(self) -> Callable[[Any], Array]:
        raise NotImplementedError

    def _show(self) -> None:
        """Put into the scene what the task shows only when it is rendered."""


class Noisy:
    """A scripted policy with noise."""

    def __init__(
        self, env: Sight, script: Callable[[Any], Array], rng: np.random.Generator, noise: float
    ) -> None:
        self._env, self._script, self._rng, self._noise = env, script, rng, noise

    def act(self) -> NDArray[np.float32]:
        """The next action, clipped to the box."""
        action = np.asarray(self._script(self._env.now), float)
        drawn = action + self._rng.normal(0.0, self._noise, action.shape)
        return np.clip(drawn, -1.0, 1.0).astype(np.float32)


class Fetch(Sight):
    """A task of Gymnasium-Robotics' Fetch by its id, such as "FetchReach-v4".

    The package's own camera shows a goal of one pixel, often hidden by the hand. Here its ball has
    the radius `goal` in metres, the hand is of glass, and beams that move with it are left out.
    """

    def __init__(
        self, task: str, view: Mapping[str, Any], goal: float = 0.02, pixels: int = 84
    ) -> None:
        gym.register_envs(gymnasium_robotics)
        bare = gym.make(task).unwrapped
        model = bare.model
        for body, alpha in (("mocap", 0.0), ("gripper_link", 0.4), ("wrist_roll_link", 0.4)):
            model.geom_rgba[model.geom_bodyid == model.body(f"robot0:{body}").id, 3] = alpha
            model.geom_matid[model.geom_bodyid == model.body(f"robot0:{body}").id] = -1
        model.site("target0").size[:] = goal
        super().__init__(bare, view, pixels)

    def _begin(self, seed: int) -> Any:
        return self.bare.reset(seed=seed)[0]

    def _vectors(self, observation: Any) -> dict[str, Array]:
        seen = observation["observation"]
        fingers = seen[3:5] if len(seen) == 10 else seen[9:11]
        state = np.concatenate([seen, observation["desired_goal"]])
        proprio = np.concatenate([seen[:3], fingers])
        return {"proprio": proprio.astype(np.float32), "state": state.astype(np.float32)}

    def _script(self) -> Callable[[Any], Array]:
        return PickAndPlace() if self.bare.has_object else reach

    def _show(self) -> None:
        self.bare._render_callback()


def reach(observation: Mapping[str, Array]) -> Array:
    """Straight to the goal."""
    return np.append(10.0 * (observation["desired_goal"] - observation["achieved_goal"]), 0.0)


class PickAndPlace:
    """From above onto the block, close the gripper, then to the goal."""

    def __init__(self) -> None:
        self._phase, self._held = 0, 0

    def __call__(self, observation: Mapping[str, Array]) -> Array:
        """The action for the env's observation."""
        seen = observation["observation"]
        hand, block, goal = seen[:3], seen[3:6], observation["desired_goal"]
        off = block - hand
        if self._phase == 0 and np.linalg.norm(off[:2]) < 0.015 and abs(off[2]) < 0.09:
            self._phase = 1
        elif self._phase == 1 and np.abs(off).max() < 0.015:
            self._phase = 2
        elif self._phase == 2:
            self._held += 1
            if np.linalg.norm(off) > 0.06:  # lost it
                self._phase, self._held = 0, 0
        if self._phase == 0:
            return np.append(8.0 * (off + ABOVE), 1.0)
        if self._phase == 1:
            return np.append(8.0 * off, 1.0)
        return np.append(8.0 * (goal - block) if self._held > 3 else np.zeros(3), -1.0)


class MetaWorld(Sight):
    """A task of Meta-World by its name, such as "push-v3", with a new start in every episode."""

    def __init__(self, task: str, view: Mapping[str, Any], pixels: int = 84) -> None:
        bare = ALL_V3_ENVIRONMENTS[task]()
        bare._set_task_called = bare.seeded_rand_vec = True
        bare._freeze_rand_vec = bare._partially_observable = False
        del bare.sawyer_observation_space  # cached with a goal of zeros, to which it clips
        self._policy = getattr(
            metaworld.policies,
            "Sawyer" + "".join(map(str.capitalize, task[:-3].split("-"))) + "V3Policy",
        )
        super().__init__(bare, view, pixels)

    def _begin(self, seed: int) -> Any:
        self.bare.seed(seed)
        return self.bare.reset()[0]

    def _vectors(self, observation: Any) -> dict[str, Array]:
        seen = np.asarray(observation, np.float32)
        return {"proprio": seen[:4], "state": seen}

    def _script(self) -> Callable[[Any], Array]:
        policy: Callable[[Any], Array] = self._policy().get_action
        return policy


def _view(x: float, z: float, distance: float, azimuth: float, elevation: float) -> dict[str, Any]:
    """Of a camera that looks at (x, 0.72, z); metres and degrees."""
    place = {"lookat": (x, 0.72, z), "distance": distance}
    return {**place, "azimuth": azimuth, "elevation": elevation}


FETCH = {
    "FetchReach": (25, {"view": _view(1.34, 0.52, 0.65, 145.0, -35.0), "goal": 0.05}),
    "FetchPush": (50, {"view": _view(1.34, 0.45, 0.65, 145.0, -40.0), "goal": 0.03}),
    "FetchPickAndPlace": (50, {"view": _view(1.34, 0.56, 0.92, 145.0, -30.0), "goal": 0.03}),
}
METAWORLD = {
    "push": (100, {"view": _view(0.0, 0.08, 0.68, 205.0, -40.0)}),
    "coffee-push": (100, {"view": _view(0.0, 0.1, 0.72, 30.0, -40.0)}),
}
"""Time limit and settings of each task."""
for name, (limit, settings) in FETCH.items():
    settings = {"task": f"{name}-v4", **settings}
    gym.register(f"Sight{name}-v0", Fetch, max_episode_steps=limit, kwargs=settings)
for name, (limit, settings) in METAWORLD.items():
    settings = {"task": f"{name}-v3", **settings}
    gym.register(f"SightMW-{name}-v0", MetaWorld, max_episode_steps=limit, kwargs=settings)
