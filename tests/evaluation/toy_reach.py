"""A tabletop without a simulator: move a point onto a mark; it offers an expert and labels."""

from typing import Any

import gymnasium as gym
import numpy as np

from parrot_wrapper.types import FloatArray, ObservationSpec

STATE = ObservationSpec(state=4)


class ToyReach(gym.Env[Any, Any]):
    """State: point and mark, each (2,); actions move the point by up to 0.3; eight steps."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode = render_mode
        self.point = self.mark = np.zeros(2)
        self.taken = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.point, self.mark = self.np_random.uniform(-0.9, 0.9, (2, 2))
        self.taken = 0
        return self._look(), self._info()

    def step(self, action: Any) -> Any:
        self.taken += 1
        self.point = np.clip(self.point + 0.3 * np.asarray(action), -1.0, 1.0)
        info = self._info()
        return self._look(), float(info["is_success"]), False, self.taken >= 8, info

    def render(self) -> Any:
        return np.full((64, 64, 3), 200, np.uint8)

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> "ToyExpert":
        return ToyExpert(self, rng, noise)

    def privileged_labels(self) -> dict[str, FloatArray]:
        ground = np.array([[*self.mark, 0.1]], np.float32)
        return {"landmarks": ground, "gripper": np.array([*self.point, 0.1, 1.0], np.float32)}

    def _look(self) -> FloatArray:
        return np.concatenate([self.point, self.mark]).astype(np.float32)

    def _info(self) -> dict[str, Any]:
        near = bool(np.linalg.norm(self.point - self.mark) < 0.15)
        return {"is_success": near, "lifted": ["mark"] if near else []}


class ToyExpert:
    def __init__(self, env: ToyReach, rng: np.random.Generator, noise: float) -> None:
        self.env, self.rng, self.noise = env, rng, noise

    def act(self) -> FloatArray:
        wanted = (self.env.mark - self.env.point) / 0.3 + self.rng.normal(0, self.noise, 2)
        return np.clip(wanted, -1.0, 1.0).astype(np.float32)


class MuteReach(gym.Wrapper[Any, Any, Any, Any]):
    """The same without expert and labels."""

    @property
    def unwrapped(self) -> Any:
        return self
