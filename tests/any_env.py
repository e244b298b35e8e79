"""A toy env of any spaces, that knows what a prior should see of it."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from parrot_wrapper.types import AnyArray


def laid_out(frames: AnyArray, layout: str) -> AnyArray:
    """Frames (N, H, W, C), the oldest first, as an env with such a layout returns them."""
    if layout.endswith("chw"):
        frames = np.moveaxis(frames, -1, 1)
    return frames if layout.startswith("stacked") else frames[-1]


class AnyEnv(gym.Env[Any, AnyArray]):
    """Random frames and vectors under the keys asked for; actions are only looked at.

    Attributes:
        image: What a prior should see of the last observation, (H, W, N C).
        vectors: The same for vectors, by key.
        executed: The last action.
    """

    def __init__(
        self,
        *,
        frame: tuple[int, int, int] | None = None,
        layout: str = "hwc",
        stack: int = 1,
        image_key: str | None = None,
        vectors: Mapping[str, tuple[int, ...]] | None = None,
        action_space: gym.spaces.Box | None = None,
        steps: int = 4,
    ) -> None:
        self._frame, self._layout, self._stack = frame, layout, stack
        self._image_key, self._shapes, self._steps = image_key, dict(vectors or {}), steps
        self.action_space = action_space or gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = self._space()
        self.executed = np.zeros(0)

    def _space(self) -> gym.spaces.Space[Any]:
        parts: dict[str, gym.spaces.Space[Any]] = {
            key: gym.spaces.Box(-np.inf, np.inf, shape, np.float64)
            for key, shape in self._shapes.items()
        }
        if self._frame is not None:
            example = laid_out(np.zeros((self._stack, *self._frame), np.uint8), self._layout)
            image = gym.spaces.Box(0, 255, example.shape, np.uint8)
            if self._image_key is None:
                return image
            parts[self._image_key] = image
        return gym.spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._taken = 0
        return self._observe(), {}

    def step(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._taken += 1
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.executed = action
        return self._observe(), 0.0, False, self._taken >= self._steps, {}

    def _observe(self) -> Any:
        self.vectors = {k: self.np_random.normal(size=shape) for k, shape in self._shapes.items()}
        if self._frame is None:
            return dict(self.vectors)
        frames = self.np_random.integers(0, 256, (self._stack, *self._frame), dtype=np.uint8)
        shown = frames if self._layout.startswith("stacked") else frames[-1:]
        self.image = np.concatenate(list(shown), axis=-1)
        seen = laid_out(frames, self._layout)
        return seen if self._image_key is None else {self._image_key: seen, **self.vectors}
