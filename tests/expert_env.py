"""A tiny env with a scripted expert, labels and a camera; importing it registers `Reach-v0`."""

import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np

from parrot_wrapper.types import AnyArray, FloatArray

ENV_ID = "Reach-v0"


class ReachExpert:
    def __init__(self, env: "ReachEnv", rng: np.random.Generator, noise: float) -> None:
        self._env, self._rng, self._noise = env, rng, noise

    def act(self) -> FloatArray:
        move = self._env.goal - self._env.position + self._rng.normal(0.0, self._noise, 2)
        return np.clip(move, -1.0, 1.0).astype(np.float32)


class ReachEnv(gym.Env[Any, AnyArray]):
    """Move a dot to a goal; `keep` when it is there in the end and the goal is not too far."""

    def __init__(
        self, obs: str = "image", delay: float = 0.0, info_key: str = "keep", farthest: float = 1.0
    ) -> None:
        image = gym.spaces.Box(0, 255, (6, 5, 3), np.uint8)
        proprio = gym.spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.observation_space = {
            "image": image,
            "state": proprio,
            "dict": gym.spaces.Dict({"image": image, "proprio": proprio}),
        }[obs]
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._obs, self._delay, self._key, self._farthest = obs, delay, info_key, farthest
        self.position = self.goal = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = np.zeros(2)
        self.goal = self.np_random.uniform(-1.5, 1.5, 2)
        return self._observe(), {self._key: False}

    def step(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        time.sleep(self._delay)
        self.position = self.position + 0.5 * action
        near = bool(np.abs(self.goal - self.position).max() < 0.3)
        near = near and bool(np.abs(self.goal).max() < self._farthest)
        # early ends give episodes of different lengths
        ended = near and self.np_random.random() < 0.3
        return self._observe(), float(near), ended, False, {self._key: near}

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> ReachExpert:
        return ReachExpert(self, rng, noise)

    def privileged_labels(self) -> dict[str, FloatArray]:
        return {
            "goal": self.goal.astype(np.float32),
            "torch": np.array([float("torch" in sys.modules)], np.float32),
        }

    def camera_spec(self) -> dict[str, Any]:
        return {"renderer": "dots", "eye": (0.0, 1.0)}

    def _observe(self) -> Any:
        proprio = self.position.astype(np.float32)
        image = np.zeros((6, 5, 3), np.uint8)
        image[..., :2] = np.clip(127 + 60 * self.position, 0, 255)
        image[..., 2] = int(127 + 60 * self.goal[0])
        return {"image": image, "state": proprio, "dict": {"image": image, "proprio": proprio}}[
            self._obs
        ]


if ENV_ID not in gym.registry:
    gym.register(ENV_ID, entry_point="tests.expert_env:ReachEnv", max_episode_steps=8)
