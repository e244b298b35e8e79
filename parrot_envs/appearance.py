"""Colours of things, and what training objects have in common: grasp and yaw."""

from __future__ import annotations

import colorsys
import zlib
from typing import Literal, TypeAlias

import numpy as np

from parrot_envs.shapes import Color, Part, Thing

ColorMode: TypeAlias = Literal["random", "fixed", "shared"]
COLOR_MODES = ("random", "fixed", "shared")
TwoColors: TypeAlias = tuple[Color, Color]

_TWO_TONE_SHARE = 0.5


def draw_colors(
    mode: ColorMode, objects: list[Thing], container: Thing, rng: np.random.Generator
) -> list[TwoColors]:
    """First and second colour of each object, then of the container.

    Args:
        mode: `"random"`: new colours, half of the objects plain and half two-tone; `"fixed"`: each
            thing's own, without any draw; `"shared"`: one new plain colour for all objects, while
            the container keeps its own.
        objects: What lies on the table.
        container: What it is placed in.
        rng: Source of the colours.
    """
    if mode == "random":
        return [*(_object_colors(rng) for _ in objects), _container_colors(rng)]
    if mode == "shared":
        color = _vivid(rng)
        return [*((color, color) for _ in objects), container.colors]
    return [thing.colors for thing in (*objects, container)]


def colors_from_name(name: str) -> TwoColors:
    """Colours for an object that nobody painted: always the same for the same name."""
    return _object_colors(np.random.default_rng(zlib.crc32(f"colors of {name}".encode())))


def _vivid(rng: np.random.Generator) -> Color:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.55, 1.0), rng.uniform(0.55, 0.95))


def _object_colors(rng: np.random.Generator) -> TwoColors:
    hue, saturation, value = rng.random(), rng.uniform(0.55, 1.0), rng.uniform(0.55, 0.95)
    first = colorsys.hsv_to_rgb(hue, saturation, value)
    if rng.random() >= _TWO_TONE_SHARE:
        return first, first
    second = colorsys.hsv_to_rgb(
        (hue + rng.uniform(-0.08, 0.08)) % 1.0, saturation * rng.uniform(0.4, 1.0), value
    )
    return first, second


def _container_colors(rng: np.random.Generator) -> TwoColors:
    first = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.3, 0.9))
    second = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.2, 0.9))
    return first, second


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
