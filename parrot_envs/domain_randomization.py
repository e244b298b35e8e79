"""Another look of the same scene in every episode: camera, colours and light; no textures.

Physics never depends on the look, and the look is drawn after the things and their places: an
episode of a seed is the same with and without, to the eye excepted.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from parrot_envs.appearance import ColorMode
from parrot_envs.camera import NOMINAL_LOOK, CameraConfig, Light, Look
from parrot_envs.errors import EnvArgumentError, check_choice
from parrot_envs.scene import Scene
from parrot_envs.shapes import Color
from parrot_envs.sim import Simulator

Randomization: TypeAlias = Literal["camera", "colors", "light"]
RANDOMIZATIONS: tuple[Randomization, ...] = get_args(Randomization)

TARGET_JITTER = 0.01
"""The camera looks up to this far from its nominal target along each axis, metres."""
ZOOM_JITTER = 0.03
"""Its distance and field of view differ by up to this share."""
PITCH_JITTER, YAW_JITTER = 3.0, 4.0
"""Degrees by which it looks from another side. All of it together keeps every thing in sight."""
AMBIENT, DIFFUSE = (0.45, 0.75), (0.2, 0.5)
"""Ranges of the light's coefficients, see `Light`."""
LAMP_ELEVATION = (30.0, 90.0)
"""Range of the lamp's height above the horizon, degrees; it may stand on any side."""
TWO_TONE_SHARE = 0.5


def checked_randomizations(names: Sequence[str] | str) -> tuple[Randomization, ...]:
    """The names without repetition, in alphabetical order; one name may come without a list."""
    given = (names,) if isinstance(names, str) else names
    if not isinstance(given, (tuple, list)):
        raise EnvArgumentError(
            f"randomize must be a tuple of names out of {', '.join(RANDOMIZATIONS)}, got {names!r}."
        )
    for name in given:
        check_choice("randomization", name, RANDOMIZATIONS)
    return tuple(name for name in RANDOMIZATIONS if name in given)


def dress(
    scene: Scene,
    sim: Simulator,
    rng: np.random.Generator,
    names: tuple[Randomization, ...],
    colors: ColorMode,
) -> Look:
    """Draw what is named, paint the things, and return how to look at them.

    Args:
        scene: The things of the episode, in their places.
        sim: Where they are painted.
        rng: Source of all draws.
        names: What to draw; the rest stays as it is.
        colors: With `"shared"` all objects keep one colour in common.
    """
    look = NOMINAL_LOOK
    if "camera" in names:
        look = replace(look, camera=_draw_camera(rng))
    if "colors" in names:
        look = replace(look, table=_pale(rng), floor=_pale(rng))
        plain = _pair(rng)[:1] * 2
        for placed in (*scene.objects, scene.container):
            shared = colors == "shared" and placed is not scene.container
            sim.paint(placed.body, placed.thing, plain if shared else _pair(rng))
    if "light" in names:
        look = replace(look, light=_draw_light(rng))
    return look


def _draw_camera(rng: np.random.Generator) -> CameraConfig:
    nominal = NOMINAL_LOOK.camera
    x, y, z = (float(t + TARGET_JITTER * rng.uniform(-1, 1)) for t in nominal.target)
    return CameraConfig(
        target=(x, y, z),
        distance=nominal.distance * float(1 + ZOOM_JITTER * rng.uniform(-1, 1)),
        pitch=nominal.pitch + float(PITCH_JITTER * rng.uniform(-1, 1)),
        fov=nominal.fov * float(1 + ZOOM_JITTER * rng.uniform(-1, 1)),
        yaw=nominal.yaw + float(YAW_JITTER * rng.uniform(-1, 1)),
    )


def _draw_light(rng: np.random.Generator) -> Light:
    azimuth = rng.uniform(0.0, 2 * np.pi)
    elevation = np.deg2rad(rng.uniform(*LAMP_ELEVATION))
    flat = float(np.cos(elevation))
    return Light(
        (flat * float(np.cos(azimuth)), flat * float(np.sin(azimuth)), float(np.sin(elevation))),
        ambient=float(rng.uniform(*AMBIENT)),
        diffuse=float(rng.uniform(*DIFFUSE)),
    )


def _pale(rng: np.random.Generator) -> Color:
    """A colour for a large surface: any hue, little saturation."""
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.35), rng.uniform(0.35, 0.95))


def _pair(rng: np.random.Generator) -> tuple[Color, Color]:
    """Two colours for a thing, as often as not the same one twice."""
    first, second = (
        colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 1.0), rng.uniform(0.2, 0.95))
        for _ in range(2)
    )
    return (first, second) if rng.random() < TWO_TONE_SHARE else (first, first)
