"""The novel objects of the test scenes. They share no generator with the training families."""

from __future__ import annotations

from functools import cache

from parrot_envs.appearance import ELONGATED_YAW
from parrot_envs.shapes import Color, Part, Thing, box, cylinder, sphere


def _object(
    name: str,
    parts: list[Part],
    *,
    radius: float,
    height: float,
    colors: tuple[Color, Color],
    grasp: tuple[float, float, float],
    yaw_range: float = 3.1416,
) -> Thing:
    return Thing(
        name, tuple(parts), radius, height, yaw_range=yaw_range, grasp=grasp, colors=colors
    )


def bar() -> Thing:
    """A chocolate bar: a long flat block with a band."""
    parts = [box((0.062, 0.028, 0.026)), box((0.02, 0.030, 0.027), (0, 0, 0), 1)]
    return _object(
        "bar", parts, radius=0.035, height=0.027, grasp=(0, 0, 0.012), yaw_range=ELONGATED_YAW,
        colors=((0.15, 0.30, 0.90), (0.55, 0.75, 1.0)),
    )  # fmt: skip


def can() -> Thing:
    """A tin can with a lid of another colour."""
    parts = [cylinder(0.019, 0.042), cylinder(0.0195, 0.006, (0, 0, 0.042), 1)]
    return _object(
        "can", parts, radius=0.02, height=0.048, grasp=(0, 0, 0.018),
        colors=((0.90, 0.15, 0.10), (0.95, 0.6, 0.55)),
    )  # fmt: skip


def sculpture() -> Thing:
    """A base, a shifted waist and a ball on top."""
    parts = [
        box((0.036, 0.036, 0.014)),
        box((0.018, 0.026, 0.022), (0.003, -0.002, 0.014)),
        sphere(0.011, (-0.002, 0.002, 0.034), 1),
    ]
    return _object(
        "sculpture", parts, radius=0.026, height=0.056, grasp=(0, 0, 0.02),
        colors=((0.95, 0.65, 0.10), (1.0, 0.85, 0.45)),
    )  # fmt: skip


def vase() -> Thing:
    """A round belly under a flared mouth."""
    parts = [
        cylinder(0.013, 0.008),
        sphere(0.019, (0, 0, 0.003)),
        cylinder(0.009, 0.01, (0, 0, 0.038)),
        cylinder(0.014, 0.006, (0, 0, 0.048), 1),
    ]
    return _object(
        "vase", parts, radius=0.02, height=0.054, grasp=(0, 0, 0.02),
        colors=((0.62, 0.15, 0.75), (0.85, 0.55, 0.95)),
    )  # fmt: skip


def chair() -> Thing:
    """A seat on four legs with a back."""
    legs = [
        box((0.008, 0.008, 0.018), (sx * 0.013, sy * 0.013, 0), 1)
        for sx in (1, -1)
        for sy in (1, -1)
    ]
    parts = [
        *legs,
        box((0.036, 0.034, 0.01), (0, 0, 0.018)),
        box((0.008, 0.034, 0.03), (-0.014, 0, 0.028)),
    ]
    return _object(
        "chair", parts, radius=0.026, height=0.058, grasp=(0, 0, 0.018),
        colors=((0.10, 0.70, 0.25), (0.05, 0.45, 0.15)),
    )  # fmt: skip


def cup() -> Thing:
    """A cup with a handle."""
    parts = [
        cylinder(0.019, 0.04),
        box((0.012, 0.007, 0.006), (0.023, 0, 0.008), 1),
        box((0.012, 0.007, 0.006), (0.023, 0, 0.028), 1),
        box((0.006, 0.007, 0.026), (0.029, 0, 0.008), 1),
    ]
    return _object(
        "cup", parts, radius=0.032, height=0.04, grasp=(0, 0, 0.016), yaw_range=0.6,
        colors=((0.10, 0.65, 0.85), (0.55, 0.9, 1.0)),
    )  # fmt: skip


def cap() -> Thing:
    """A baseball cap: a dome with a brim."""
    parts = [
        cylinder(0.02, 0.016),
        cylinder(0.015, 0.012, (0, 0, 0.016)),
        box((0.026, 0.03, 0.006), (0.026, 0, 0), 1),
    ]
    return _object(
        "cap", parts, radius=0.036, height=0.028, grasp=(0, 0, 0.012), yaw_range=0.6,
        colors=((0.90, 0.25, 0.45), (0.5, 0.08, 0.2)),
    )  # fmt: skip


def teapot() -> Thing:
    """A round pot with a spout on one side, a handle on the other and a lid."""
    parts = [
        cylinder(0.019, 0.028),
        cylinder(0.011, 0.005, (0, 0, 0.028), 1),
        sphere(0.006, (0, 0, 0.032), 1),
        box((0.012, 0.008, 0.008), (0.023, 0, 0.01)),
        box((0.008, 0.008, 0.014), (0.03, 0, 0.014)),
        box((0.014, 0.006, 0.005), (-0.023, 0, 0.021), 1),
        box((0.014, 0.006, 0.005), (-0.023, 0, 0.006), 1),
        box((0.005, 0.006, 0.02), (-0.0305, 0, 0.006), 1),
    ]
    return _object(
        "teapot", parts, radius=0.034, height=0.044, grasp=(0, 0, 0.014), yaw_range=0.6,
        colors=((0.95, 0.9, 0.8), (0.2, 0.25, 0.6)),
    )  # fmt: skip


def shoe() -> Thing:
    """A sole under a low toe and a high heel counter."""
    parts = [
        box((0.068, 0.027, 0.007), (0, 0, 0), 1),
        box((0.066, 0.025, 0.011), (0, 0, 0.007)),
        box((0.034, 0.025, 0.012), (-0.016, 0, 0.018)),
        box((0.014, 0.012, 0.002), (0.012, 0, 0.018), 1),
    ]
    return _object(
        "shoe", parts, radius=0.037, height=0.03, grasp=(0, 0, 0.012), yaw_range=ELONGATED_YAW,
        colors=((0.45, 0.25, 0.12), (0.95, 0.95, 0.95)),
    )  # fmt: skip


def candlestick() -> Thing:
    """A wide foot, a stem, a drip pan and a candle."""
    parts = [
        cylinder(0.021, 0.006),
        box((0.014, 0.014, 0.018), (0, 0, 0.006)),
        cylinder(0.015, 0.004, (0, 0, 0.024)),
        cylinder(0.0075, 0.024, (0, 0, 0.028), 1),
    ]
    return _object(
        "candlestick", parts, radius=0.021, height=0.052, grasp=(0, 0, 0.016),
        colors=((0.8, 0.65, 0.15), (0.98, 0.97, 0.9)),
    )  # fmt: skip


@cache
def novel_objects() -> dict[str, Thing]:
    """All novel objects by name."""
    kinds = (bar, can, sculpture, vase, chair, cup, cap, teapot, shoe, candlestick)
    return {thing.name: thing for thing in (kind() for kind in kinds)}
