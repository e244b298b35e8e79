"""A crane with a magnet, seen from above: blocks and pads of two colours, in 84x84 pixels.

Demonstrations carry both blocks to the pads of their colours, in either order. The task is the red
block alone, let go on the red pad, and the reward is sparse. The action box is asymmetric: the
crane is faster to the left and downwards, and the magnet's command runs from 0 to 1.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

COLORS = np.array(
    [[210, 40, 40], [40, 80, 220], [40, 170, 70], [230, 200, 50], [150, 60, 190], [60, 190, 200],
     [230, 130, 30], [240, 150, 190]]
)  # fmt: skip
SIDE, BLOCK, PAD, REACH = 84, 0.06, 0.1, 0.08
"""Pixels, and half-widths of a square whose side is 1; how near the magnet has to be."""
_PIXELS = (np.arange(SIDE) + 0.5) / SIDE


class Magnet(gym.Env[dict[str, Any], NDArray[Any]]):
    """Two blocks, two pads and a magnet.

    `state` is the magnet's position and whether it holds block 0 or 1, then position, way to it and
    colour of each block and pad, the red ones first. `proprio` is position and last command.
    """

    observation_space = Dict(
        image=Box(0, 255, (SIDE, SIDE, 3), np.uint8),
        proprio=Box(0.0, 1.0, (3,), np.float32),
        state=Box(-1.0, 1.0, (32,), np.float32),
    )
    action_space = Box(np.float32([-0.09, -0.05, 0.0]), np.float32([0.05, 0.09, 1.0]))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """New places; one colour is red, the other and the floor's change."""
        super().reset(seed=seed)
        rng, gap = self.np_random, 0.0
        while gap < 0.24:
            places = rng.uniform(0.12, 0.88, (4, 2))
            gap = (np.abs(places[:, None] - places).max(2) + np.eye(4)).min()
        self.blocks, self.pads = places[:2].copy(), places[2:].copy()
        self.hand, self.command, self.held = rng.uniform(0.1, 0.9, 2), 0.0, -1
        self.colors = np.tile(COLORS[[0, rng.integers(1, len(COLORS))]], (2, 1))
        self.floor = rng.uniform(70, 130) + rng.uniform(-15, 15, 3)
        return self._look(), self._info()

    def step(
        self, action: NDArray[Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move, then switch the magnet; what it holds moves along."""
        action = np.clip(action, self.action_space.low, self.action_space.high)
        self.hand = np.clip(self.hand + action[:2], 0.0, 1.0)
        self.command = float(action[2])
        near = np.abs(self.blocks - self.hand).max(1)
        if self.command < 0.5:
            self.held = -1
        elif self.held < 0 and near.min() < REACH:
            self.held = int(near.argmin())
        if self.held >= 0:
            self.blocks[self.held] = self.hand
        info = self._info()
        return self._look(), float(info["is_success"]), False, False, info

    def _info(self) -> dict[str, Any]:
        on = np.abs(self.blocks[:, None] - self.pads).max(2) < PAD
        on[self.held] &= self.held < 0
        return {"is_success": bool(on[0, 0]), "keep": bool(on[0, 0] and on[1, 1])}

    def _look(self) -> dict[str, Any]:
        holds = np.arange(2) == self.held
        places = np.concatenate([self.blocks, self.pads])
        things = np.column_stack([places, places - self.hand, self.colors / 255]).ravel()
        return {
            "image": self._draw(),
            "proprio": np.float32([*self.hand, self.command]),
            "state": np.concatenate([self.hand, holds, things]).astype(np.float32),
        }

    def _draw(self) -> NDArray[np.uint8]:
        image = np.full((SIDE, SIDE, 3), self.floor, np.uint8)
        for pad, color in zip(self.pads, self.colors[2:], strict=True):
            image[_square(pad, PAD)] = color
            image[_square(pad, 0.6 * PAD)] = self.floor
        for block, color in zip(self.blocks, self.colors[:2], strict=True):
            image[_square(block, BLOCK)] = color
        x, y = (_PIXELS - self.hand[:, None]) ** 2
        away = y[:, None] + x
        ring = (away < 0.045**2) & (away > (0.0 if self.command >= 0.5 else 0.025) ** 2)
        image[ring] = 250
        return image

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> Carrier:
        """One that sorts the blocks in an order of its own."""
        return Carrier(self, rng, noise)


def _square(place: NDArray[Any], half: float) -> tuple[slice, slice]:
    (left, top), (right, bottom) = (
        np.clip(np.rint((place + side) * SIDE), 0, SIDE).astype(int) for side in (-half, half)
    )
    return slice(top, bottom), slice(left, right)


class Carrier:
    """Carries the blocks to the pads of their colours, one after the other, and lets go."""

    def __init__(self, env: Magnet, rng: np.random.Generator, noise: float) -> None:
        self.env, self.rng, self.noise = env, rng, noise
        self.left = list(rng.permutation(2))
        self.carried = False

    def act(self) -> NDArray[np.float32]:
        """The next action, clipped to the box."""
        env = self.env
        if self.carried and env.held < 0:
            self.left = self.left[1:]
        goal, on = env.hand, False
        if self.left:
            block = self.left[0]
            self.carried = env.held == block
            goal = (env.pads if self.carried else env.blocks)[block]
            on = (np.abs(goal - env.hand).max() < 0.05) != self.carried
        box = env.action_space
        half = (box.high - box.low) / 2
        action = np.append(goal - env.hand, float(on)) + self.noise * half * self.rng.normal(size=3)
        return np.clip(action, box.low, box.high).astype(np.float32)


gym.register("Magnet-v0", Magnet, max_episode_steps=45)
