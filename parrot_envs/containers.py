"""Containers: what objects are placed in or on. They never move."""

from __future__ import annotations

from functools import cache

from parrot_envs.shapes import Color, Part, Thing, box, cylinder, rim, walls


def _container(
    name: str,
    parts: list[Part],
    *,
    radius: float,
    height: float,
    floor: float,
    place_radius: float,
    colors: tuple[Color, Color],
) -> Thing:
    return Thing(
        name, tuple(parts), radius, height, yaw_range=0.0, mass=0.0, colors=colors,
        place_radius=place_radius, floor=floor,
    )  # fmt: skip


_GREY: tuple[Color, Color] = ((0.6, 0.6, 0.62), (0.45, 0.45, 0.5))


def _board(name: str, side: float, thickness: float, pattern: list[Part]) -> Thing:
    """A flat square with a pattern on it, so that a prior learns to see past patterns."""
    parts = [box((side, side, thickness)), *pattern]
    return _container(
        name, parts, radius=0.7 * side, height=thickness + 0.001, floor=thickness + 0.001,
        place_radius=0.43 * side, colors=_GREY,
    )  # fmt: skip


@cache
def training_containers() -> tuple[Thing, ...]:
    """The containers that priors are trained with."""
    return (
        _container("plate", [cylinder(0.05, 0.008), cylinder(0.032, 0.003, (0, 0, 0.008), 1)],
                   radius=0.05, height=0.011, floor=0.011, place_radius=0.045, colors=_GREY),
        _container("concave-cube",
                   [box((0.09, 0.09, 0.012), tone=1), *walls((0.09, 0.09), 0.03, 0.008)],
                   radius=0.068, height=0.03, floor=0.012, place_radius=0.04, colors=_GREY),
        _container("table-top", [box((0.1, 0.1, 0.03)), box((0.06, 0.06, 0.001), (0, 0, 0.03), 1)],
                   radius=0.065, height=0.031, floor=0.031, place_radius=0.045, colors=_GREY),
        _container("small-bowl", [cylinder(0.045, 0.008, tone=1), *rim(0.042, 0.018, 0.01, 0.004)],
                   radius=0.06, height=0.022, floor=0.008, place_radius=0.038, colors=_GREY),
        _container("tray", [box((0.09, 0.12, 0.006), tone=1), *walls((0.09, 0.12), 0.014, 0.007)],
                   radius=0.075, height=0.014, floor=0.006, place_radius=0.045, colors=_GREY),
        _container("open-box",
                   [box((0.085, 0.095, 0.008), tone=1), *walls((0.085, 0.095), 0.04, 0.007)],
                   radius=0.068, height=0.04, floor=0.008, place_radius=0.04, colors=_GREY),
        _container("cube", [box((0.08, 0.08, 0.04)), box((0.05, 0.05, 0.001), (0, 0, 0.04), 1)],
                   radius=0.055, height=0.041, floor=0.041, place_radius=0.035, colors=_GREY),
        _container("torus", [cylinder(0.044, 0.002, tone=1), *rim(0.04, 0.014, 0.012, 0.0)],
                   radius=0.06, height=0.014, floor=0.002, place_radius=0.038, colors=_GREY),
        _board("striped-board", 0.1, 0.018,
               [box((0.1, 0.014, 0.001), (0, y, 0.018), 1) for y in (-0.035, 0, 0.035)]),
        _board("crossed-board", 0.105, 0.024,
               [box((0.105, 0.03, 0.001), (0, 0, 0.024), 1),
                box((0.03, 0.105, 0.0012), (0, 0, 0.024), 1)]),
        _board("spotted-board", 0.11, 0.014,
               [box((0.026, 0.026, 0.001), (x, y, 0.014), 1)
                for x, y in ((-0.035, -0.02), (0.0, 0.035), (0.03, -0.035), (0.036, 0.012))]),
    )  # fmt: skip


def _checkers() -> list[Part]:
    square = 0.0275
    return [
        box((square, square, 0.001), ((i - 1.5) * square, (j - 1.5) * square, 0.02), 1)
        for i in range(4)
        for j in range(4)
        if (i + j) % 2 == 0
    ]


@cache
def novel_containers() -> dict[str, Thing]:
    """The containers of the test scenes by name; none of them is trained with."""
    pan = [
        cylinder(0.05, 0.006), *rim(0.047, 0.014, 0.008, 0.004),
        box((0.014, 0.04, 0.01), (0, 0.075, 0.006), 1),
    ]  # fmt: skip
    basket = [
        box((0.09, 0.09, 0.008), tone=1), *walls((0.09, 0.09), 0.035, 0.008),
        box((0.008, 0.03, 0.012), (0.049, 0, 0.035), 1),
        box((0.008, 0.03, 0.012), (-0.049, 0, 0.035), 1),
    ]  # fmt: skip
    things = (
        _container("pan", pan, radius=0.065, height=0.018, floor=0.006, place_radius=0.042,
                   colors=((0.42, 0.44, 0.5), (0.25, 0.2, 0.2))),
        _container("basket", basket, radius=0.07, height=0.047, floor=0.008, place_radius=0.042,
                   colors=((0.72, 0.5, 0.25), (0.5, 0.33, 0.15))),
        _container("checkerboard", [box((0.11, 0.11, 0.02)), *_checkers()], radius=0.075,
                   height=0.021, floor=0.021, place_radius=0.048,
                   colors=((0.92, 0.92, 0.9), (0.12, 0.12, 0.12))),
        _container("block", [box((0.085, 0.085, 0.04)), box((0.05, 0.085, 0.001), (0, 0, 0.04), 1)],
                   radius=0.06, height=0.041, floor=0.041, place_radius=0.036,
                   colors=((0.8, 0.78, 0.74), (0.68, 0.66, 0.64))),
    )  # fmt: skip
    return {thing.name: thing for thing in things}
