"""Object families that priors are trained on. None of them occurs in the test scenes.

Every family is a function from a random generator to a `Thing`; `training_objects` draws a fixed
number of variants of each, always the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from parrot_envs.appearance import Generator, colors_from_name, training_thing
from parrot_envs.shapes import Thing, box, cylinder, sphere, walls


def arch(rng: Generator) -> Thing:
    """Two pillars under a lintel."""
    half, pillar = rng.uniform(0.018, 0.025), rng.uniform(0.018, 0.028)
    depth, lintel = rng.uniform(0.02, 0.032), rng.uniform(0.01, 0.014)
    parts = [
        box((0.014, depth, pillar), (half, 0, 0)),
        box((0.014, depth, pillar), (-half, 0, 0)),
        box((2 * half + 0.014, depth, lintel), (0, 0, pillar), 1),
    ]
    return training_thing("arch", parts, half + 0.014, pillar + lintel, long=True)


def snowman(rng: Generator) -> Thing:
    """Two balls, one on the other, on a flat foot."""
    r, s = rng.uniform(0.016, 0.021), rng.uniform(0.024, 0.032)
    head = rng.uniform(0.6, 0.8) * r
    top = 0.004 + 1.75 * r
    parts = [box((s, s, 0.01)), sphere(r, (0, 0, 0.004)), sphere(head, (0, 0, top), 1)]
    return training_thing("snowman", parts, max(0.72 * s, r), top + 2 * head)


def house(rng: Generator) -> Thing:
    """A block under two roof steps with a chimney."""
    x, y, h = rng.uniform(0.03, 0.04), rng.uniform(0.026, 0.038), rng.uniform(0.018, 0.03)
    parts = [
        box((x, y, h)),
        box((0.8 * x, 0.8 * y, 0.008), (0, 0, h), 1),
        box((0.45 * x, 0.45 * y, 0.008), (0, 0, h + 0.008), 1),
        box((0.007, 0.007, 0.02), (0.3 * x, 0.2 * y, h)),
    ]
    return training_thing("house", parts, 0.71 * max(x, y), h + 0.02)


def car(rng: Generator) -> Thing:
    """A long body with a cabin on four wheels."""
    half, w = rng.uniform(0.022, 0.03), rng.uniform(0.022, 0.03)
    body, cabin = rng.uniform(0.012, 0.016), rng.uniform(0.01, 0.014)
    wheels = [
        box((0.012, 0.006, 0.012), (sx * 0.6 * half, sy * (w / 2 + 0.002), 0), 1)
        for sx in (1, -1)
        for sy in (1, -1)
    ]
    parts = [
        *wheels,
        box((2 * half, w, body), (0, 0, 0.005)),
        box((half, 0.85 * w, cabin), (-0.15 * half, 0, 0.005 + body), 1),
    ]
    return training_thing("car", parts, half + 0.01, 0.005 + body + cabin, long=True)


def figure(rng: Generator) -> Thing:
    """A standing figure: legs, chest with arms, head."""
    legs, chest = rng.uniform(0.014, 0.02), rng.uniform(0.016, 0.022)
    width, head = rng.uniform(0.026, 0.034), rng.uniform(0.012, 0.016)
    parts = [
        box((0.026, 0.024, legs), (0, 0, 0), 1),
        box((0.02, width, chest), (0, 0, legs)),
        box((head, head, head), (0, 0, legs + chest), 1),
    ]
    return training_thing("figure", parts, 0.5 * width + 0.006, legs + chest + head)


def tree(rng: Generator) -> Thing:
    """A trunk on a foot under a crown of two boxes."""
    trunk, crown = rng.uniform(0.014, 0.022), rng.uniform(0.026, 0.034)
    low, high = rng.uniform(0.01, 0.014), rng.uniform(0.01, 0.016)
    parts = [
        cylinder(0.017, 0.006, tone=1),
        box((0.014, 0.014, trunk), (0, 0, 0.006), 1),
        box((crown, crown, low), (0, 0, 0.006 + trunk)),
        box((0.55 * crown, 0.55 * crown, high), (0, 0, 0.006 + trunk + low)),
    ]
    return training_thing("tree", parts, 0.71 * crown, 0.006 + trunk + low + high)


def bench(rng: Generator) -> Thing:
    """A plank on two slabs."""
    half, w, h = rng.uniform(0.022, 0.03), rng.uniform(0.024, 0.034), rng.uniform(0.014, 0.024)
    parts = [
        box((0.009, 0.8 * w, h), (0.7 * half, 0, 0), 1),
        box((0.009, 0.8 * w, h), (-0.7 * half, 0, 0), 1),
        box((2 * half, w, 0.012), (0, 0, h)),
    ]
    return training_thing("bench", parts, half + 0.008, h + 0.012, long=True)


def magnet(rng: Generator) -> Thing:
    """A horseshoe magnet lying flat: a yoke and two arms with tips of another colour."""
    arm, gap, h = rng.uniform(0.022, 0.03), rng.uniform(0.008, 0.014), rng.uniform(0.02, 0.03)
    width, y = 0.012, gap / 2 + 0.006
    parts = [box((0.014, gap + 2 * width, h), (-arm / 2, 0, 0))]
    for side in (1, -1):
        parts.append(box((arm, width, h), (0, side * y, 0)))
        parts.append(box((0.01, width, h), (arm / 2 + 0.005, side * y, 0), 1))
    return training_thing("magnet", parts, arm / 2 + 0.02, h, long=True)


VARIANTS_PER_FAMILY = 25


def bottle(rng: Generator) -> Thing:
    """A round body with a narrow neck."""
    r, h = rng.uniform(0.014, 0.022), rng.uniform(0.03, 0.045)
    neck = rng.uniform(0.012, 0.02)
    parts = [cylinder(r, h), cylinder(0.5 * r, neck, (0, 0, h), 1)]
    return training_thing("bottle", parts, r, h + neck)


def stool(rng: Generator) -> Thing:
    """A round seat on four legs."""
    r, h = rng.uniform(0.018, 0.025), rng.uniform(0.025, 0.04)
    legs = [
        box((0.008, 0.008, h), (sx * 0.6 * r, sy * 0.6 * r, 0), 1)
        for sx in (1, -1)
        for sy in (1, -1)
    ]
    return training_thing("stool", [*legs, cylinder(r, 0.01, (0, 0, h))], r, h + 0.01)


def brick(rng: Generator) -> Thing:
    """A plain box."""
    x, y, z = rng.uniform(0.025, 0.045), rng.uniform(0.025, 0.042), rng.uniform(0.025, 0.05)
    return training_thing("brick", [box((x, y, z))], 0.5 * float(np.hypot(x, y)), z)


def bin_(rng: Generator) -> Thing:
    """An open square bin."""
    s, h = rng.uniform(0.026, 0.036), rng.uniform(0.03, 0.05)
    parts = [box((s, s, 0.006), (0, 0, 0), 1), *walls((s, s), h, 0.005)]
    return training_thing("bin", parts, 0.72 * (s + 0.01), h)


def dumbbell(rng: Generator) -> Thing:
    """Two heavy ends joined by a bar, lying down."""
    half, r = rng.uniform(0.018, 0.028), rng.uniform(0.011, 0.016)
    parts = [
        box((2 * half, 0.014, 0.014), (0, 0, r - 0.007), 1),
        box((0.014, 2 * r, 2 * r), (half, 0, 0)),
        box((0.014, 2 * r, 2 * r), (-half, 0, 0)),
    ]
    return training_thing("dumbbell", parts, half + 0.01, 2 * r, long=True)


def canoe(rng: Generator) -> Thing:
    """A long hull with pointed ends."""
    half, w, h = rng.uniform(0.02, 0.03), rng.uniform(0.02, 0.03), rng.uniform(0.02, 0.03)
    parts = [
        box((2 * half, w, h)),
        box((0.02, 0.5 * w, h), (half, 0, 0), 1),
        box((0.02, 0.5 * w, h), (-half, 0, 0), 1),
    ]
    return training_thing("canoe", parts, half + 0.01, h, long=True)


def tower(rng: Generator) -> Thing:
    """Two or three boxes of falling size, one on the other."""
    s, h = rng.uniform(0.032, 0.045), rng.uniform(0.014, 0.02)
    levels = int(rng.integers(2, 4))
    parts = [box((s - 0.008 * k, s - 0.008 * k, h), (0, 0, k * h), k % 2) for k in range(levels)]
    return training_thing("tower", parts, 0.71 * s, levels * h)


def tee(rng: Generator) -> Thing:
    """A letter T lying flat."""
    half, w, h = rng.uniform(0.02, 0.026), rng.uniform(0.014, 0.02), rng.uniform(0.022, 0.034)
    parts = [box((2 * half, w, h)), box((w, 0.024, h), (0, 0.012 + w / 2, 0), 1)]
    return training_thing("tee", parts, half + 0.01, h, long=True)


def ell(rng: Generator) -> Thing:
    """A letter L standing up."""
    half, w, h = rng.uniform(0.016, 0.022), rng.uniform(0.02, 0.03), rng.uniform(0.014, 0.02)
    upright = rng.uniform(0.015, 0.03)
    parts = [box((2 * half, w, h)), box((0.014, w, upright), (half - 0.007, 0, h), 1)]
    return training_thing("ell", parts, half + 0.008, h + upright, long=True)


def plus(rng: Generator) -> Thing:
    """A cross of two bars lying flat."""
    half, w, h = rng.uniform(0.018, 0.025), rng.uniform(0.014, 0.02), rng.uniform(0.022, 0.036)
    parts = [box((2 * half, w, h)), box((w, 2 * half, h), (0, 0, 0), 1)]
    return training_thing("plus", parts, half + 0.002, h)


def lamp(rng: Generator) -> Thing:
    """A foot, a pole and a shade."""
    r, pole, shade = rng.uniform(0.016, 0.022), rng.uniform(0.015, 0.025), rng.uniform(0.014, 0.02)
    parts = [
        cylinder(r, 0.01),
        box((0.012, 0.012, pole), (0, 0, 0.01), 1),
        box((1.6 * r, 1.6 * r, shade), (0, 0, 0.01 + pole)),
    ]
    return training_thing("lamp", parts, 1.15 * r, 0.01 + pole + shade)


def hammer(rng: Generator) -> Thing:
    """A handle with a head across its end, lying down."""
    half, w = rng.uniform(0.022, 0.03), rng.uniform(0.016, 0.02)
    head = rng.uniform(0.03, 0.038)
    parts = [box((2 * half, w, w)), box((0.016, head, w + 0.008), (half, 0, 0), 1)]
    return training_thing("hammer", parts, half + 0.012, w + 0.008, long=True)


def desk(rng: Generator) -> Thing:
    """A square top on four legs."""
    s, h = rng.uniform(0.032, 0.042), rng.uniform(0.02, 0.035)
    d = s / 2 - 0.005
    legs = [box((0.009, 0.009, h), (sx * d, sy * d, 0), 1) for sx in (1, -1) for sy in (1, -1)]
    return training_thing("desk", [*legs, box((s, s, 0.01), (0, 0, h))], 0.71 * s, h + 0.01)


def spool(rng: Generator) -> Thing:
    """Two discs on a core, standing."""
    r, core = rng.uniform(0.017, 0.023), rng.uniform(0.016, 0.028)
    parts = [
        cylinder(r, 0.008),
        cylinder(0.65 * r, core, (0, 0, 0.008), 1),
        cylinder(r, 0.008, (0, 0, 0.008 + core)),
    ]
    return training_thing("spool", parts, r, core + 0.016)


def mushroom(rng: Generator) -> Thing:
    """A stem with a round head."""
    r, stem = rng.uniform(0.015, 0.021), rng.uniform(0.014, 0.024)
    parts = [box((0.018, 0.018, stem + 0.004), (0, 0, 0), 1), sphere(r, (0, 0, stem))]
    return training_thing("mushroom", parts, r, stem + 2 * r)


def ball(rng: Generator) -> Thing:
    """A ball in a flat square foot that keeps it from rolling."""
    r, s = rng.uniform(0.015, 0.021), rng.uniform(0.022, 0.034)
    return training_thing(
        "ball", [box((s, s, 0.01), (0, 0, 0), 1), sphere(r, (0, 0, 0.004))], 0.75 * s, 2 * r
    )


TRAINING_FAMILIES: dict[str, Callable[[Generator], Thing]] = {
    "bottle": bottle, "stool": stool, "brick": brick, "bin": bin_, "dumbbell": dumbbell,
    "canoe": canoe, "tower": tower, "tee": tee, "ell": ell, "plus": plus, "lamp": lamp,
    "hammer": hammer, "desk": desk, "spool": spool, "mushroom": mushroom, "ball": ball,
    "arch": arch, "snowman": snowman, "house": house, "car": car, "figure": figure, "tree": tree,
    "bench": bench, "magnet": magnet,
}  # fmt: skip


def family_variants(
    name: str, family: Callable[[Generator], Thing], count: int
) -> tuple[Thing, ...]:
    """Draw `count` variants of a family; the same ones in every process and version."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))  # hash() is salted per process
    names = [f"{name}-{k}" for k in range(count)]
    return tuple(replace(family(rng), name=n, colors=colors_from_name(n)) for n in names)


@cache
def training_objects() -> tuple[Thing, ...]:
    """All training objects, `VARIANTS_PER_FAMILY` of each family."""
    return tuple(
        thing
        for name, family in TRAINING_FAMILIES.items()
        for thing in family_variants(name, family, VARIANTS_PER_FAMILY)
    )
