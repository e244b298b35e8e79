"""Further training families: buildings, vehicles, figures and flat tools."""

from __future__ import annotations

from parrot_envs.shapes import Thing, box, cylinder, sphere
from parrot_envs.training_thing import Generator, training_thing


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
