"""An env of vectors with two ways to act: a point between two marks, one to each side."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict


class TwoMarks(gym.Env[dict[str, Any], Any]):
    """Eight steps from near the middle; the task is the mark on the right.

    "proprio" is the point's place, "state" the height of both marks and the share of time left.
    """

    observation_space = Dict(
        proprio=Box(-3.0, 3.0, (2,), np.float32), state=Box(-1.0, 1.0, (2,), np.float32)
    )
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        """The point and the marks at new heights."""
        super().reset(seed=seed)
        self.place, self.height = (
            self.np_random.uniform(-0.2, 0.2, 2),
            self.np_random.uniform(-1, 1),
        )
        self.left = 8
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move the point."""
        self.place, self.left = self.place + 0.25 * np.clip(action, -1, 1), self.left - 1
        there = bool(np.linalg.norm(self.place - [1.0, self.height]) < 0.3)
        return self.look(), float(there), False, self.left == 0, {"is_success": there}

    def look(self) -> dict[str, Any]:
        """What there is to see."""
        parts = {"proprio": self.place, "state": [self.height, self.left / 8]}
        return {name: np.array(part, np.float32) for name, part in parts.items()}


class Demonstrator:
    """Goes to one of the marks, whichever."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, seen: dict[str, Any]) -> Any:
        """A step towards the mark that was chosen as the episode began."""
        if seen["state"][1] == 1.0:
            self.side = self.rng.choice([-1.0, 1.0])
        return np.clip(4 * (np.array([self.side, seen["state"][0]]) - seen["proprio"]), -1, 1)
