"""An env of images that is no arm: a puck is pushed by a force, and three coins lie around it.

Demonstrations collect any one of them. The task is the red one and no other.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

COLORS = np.array([[220, 40, 40], [40, 90, 220], [40, 180, 70], [230, 200, 40], [160, 60, 200]])
PIXELS = np.linspace(-1.1, 1.1, 64)


class CoinPuck(gym.Env[dict[str, Any], Any]):
    """The state is for comparison: the puck, its velocity, and each coin's place and colour."""

    observation_space = Dict(
        image=Box(0, 255, (64, 64, 3), np.uint8), state=Box(-2.0, 2.0, (22,), np.float32)
    )
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        """Puck and coins at new places; red is always there, the other colours change."""
        super().reset(seed=seed)
        places, self.velocity = np.zeros((4, 2)), np.zeros(2)
        while min(np.linalg.norm(places[i] - places[j]) for i in range(4) for j in range(i)) < 0.5:
            places = self.np_random.uniform(-0.9, 0.9, (4, 2))
        self.puck, self.coins, self.there = places[0], places[1:], np.ones(3)
        self.colors = COLORS[np.append(0, self.np_random.permutation([1, 2, 3, 4])[:2])]
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Push the puck; coins that it touches are gone."""
        self.velocity = 0.85 * self.velocity + 0.02 * np.clip(action, -1, 1)
        self.puck = np.clip(self.puck + self.velocity, -1, 1)
        self.velocity *= np.abs(self.puck) < 1
        self.there *= np.linalg.norm(self.coins - self.puck, axis=1) > 0.2
        one = self.there.sum() == 2
        info = {"keep": one, "is_success": one and not self.there[0]}
        return self.look(), float(info["is_success"]), False, False, info

    def look(self) -> dict[str, Any]:
        """What there is to see."""
        image, wake = np.full((64, 64, 3), 60, np.uint8), self.puck - 2 * self.velocity
        left = self.there > 0
        coins = [(*coin, 0.14) for coin in zip(self.coins[left], self.colors[left], strict=True)]
        for place, color, radius in [*coins, (wake, 140, 0.06), (self.puck, 250, 0.1)]:
            x, y = (PIXELS - place[:, None]) ** 2
            image[y[:, None] + x < radius**2] = color
        own = [self.puck, 10 * self.velocity, self.coins, self.there, self.colors / 255]
        state = np.concatenate([part.ravel() for part in own]).astype(np.float32)
        return {"image": image, "state": state}

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> Expert:
        """One for any of the coins."""
        return Expert(self, rng, noise)


class Expert:
    """Goes to one of the coins, and stops there."""

    def __init__(self, env: CoinPuck, rng: np.random.Generator, noise: float) -> None:
        self.env, self.rng, self.noise, self.coin = env, rng, noise, rng.integers(3)

    def act(self) -> Any:
        """A force towards it, less where the puck is fast, with noise."""
        way = self.env.coins[self.coin] - self.env.puck
        action = 8 * (way - 4 * self.env.velocity) + self.rng.normal(0, self.noise, 2)
        return np.clip(action, -1, 1).astype(np.float32)


gym.register("CoinPuck-v0", CoinPuck, max_episode_steps=30)
