"""A hand over a table with a dot, seen by a fixed camera and by one on the wrist; `Over-v0`."""

from typing import Any

import gymnasium as gym
import numpy as np

from parrot_wrapper.types import AnyArray, FloatArray, ImageArray

ENV_ID = "Over-v0"
FIXED, WRIST = (36, 40, 3), (40, 36, 3)
CELL = 1.0 / 16
"""Of the table, which is 2 wide, to a pixel of either camera."""


def drawn(shape: tuple[int, int, int], things: list[tuple[AnyArray, int]]) -> ImageArray:
    """Squares, each of one colour channel, at places from the middle of the image."""
    image = np.full(shape, 90, np.uint8)
    for place, channel in things:
        middle = (np.array(shape[:2]) // 2 + np.round(place[::-1] / CELL)).astype(int)
        rows, columns = (slice(max(at - 2, 0), max(at + 3, 0)) for at in middle)
        image[rows, columns] = np.eye(3, dtype=np.uint8)[channel] * 255
    return image


class Expert:
    def __init__(self, env: "OverEnv", rng: np.random.Generator, noise: float) -> None:
        self._env, self._rng, self._noise = env, rng, noise

    def act(self) -> FloatArray:
        way = (self._env.dot - self._env.hand) / 0.3 + self._rng.normal(0.0, self._noise, 2)
        return np.clip(way, -1.0, 1.0).astype(np.float32)


class OverEnv(gym.Env[Any, AnyArray]):
    """Move the hand over the dot.

    Args:
        names: Keys of the fixed camera and of the one on the wrist, which moves with the hand.
        proprio: Show where the hand is, too.
        channels_first: Of the camera on the wrist.
    """

    def __init__(
        self,
        names: tuple[str, str] = ("image", "image_wrist"),
        proprio: bool = True,
        channels_first: bool = False,
    ) -> None:
        self._names, self._first = tuple(names), channels_first
        wrist = (WRIST[2], *WRIST[:2]) if channels_first else WRIST
        parts: dict[str, gym.spaces.Space[Any]] = {
            name: gym.spaces.Box(0, 255, shape, np.uint8)
            for name, shape in zip(names, (FIXED, wrist), strict=True)
        }
        if proprio:
            parts["proprio"] = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = gym.spaces.Dict(parts)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.hand = self.dot = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.hand, self.dot = self.np_random.uniform(-0.8, 0.8, (2, 2))
        return self._look(), {"is_success": self._over()}

    def step(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.hand = np.clip(self.hand + 0.3 * np.asarray(action), -1.0, 1.0)
        return self._look(), float(self._over()), False, False, {"is_success": self._over()}

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> Expert:
        return Expert(self, rng, noise)

    def _over(self) -> bool:
        return bool(np.abs(self.hand - self.dot).max() < 0.15)

    def _look(self) -> dict[str, AnyArray]:
        fixed = drawn(FIXED, [(self.dot, 0), (self.hand, 2)])
        wrist = drawn(WRIST, [(self.dot - self.hand, 0)])
        wrist = np.moveaxis(wrist, -1, 0) if self._first else wrist
        shown = dict(zip(self._names, (fixed, wrist), strict=True))
        shown["proprio"] = self.hand.astype(np.float32)
        return {name: shown[name] for name in self.observation_space.spaces}


if ENV_ID not in gym.registry:
    gym.register(ENV_ID, entry_point="tests.two_cameras_env:OverEnv", max_episode_steps=8)
