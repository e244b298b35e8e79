"""What all training objects have in common: where they are grasped and how they may lie."""

from __future__ import annotations

import numpy as np

from parrot_envs.shapes import Part, Thing

Generator = np.random.Generator

ELONGATED_YAW = 0.5
"""Long things lie within this yaw of crosswise to the fingers, so that they fit between them."""


def grasp_height(height: float) -> float:
    """Where to close the fingers around a thing of this height, metres above the table.

    In the lower half, but never so low that the palm (55 mm above the fingertips) touches its top.
    """
    return max(0.012, min(0.45 * height, 0.02), height - 0.045)


def training_thing(
    name: str, parts: list[Part], radius: float, height: float, *, long: bool = False
) -> Thing:
    """An object grasped at its centre; `long` ones lie along the x axis, give or take."""
    yaw = ELONGATED_YAW if long else float(np.pi)
    grasp = (0.0, 0.0, grasp_height(height))
    return Thing(name, tuple(parts), radius, height, yaw_range=yaw, grasp=grasp)
