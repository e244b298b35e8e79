"""Write the meshes that round parts are drawn with.

    python docs/make_round_meshes.py

They are of radius 1 and half height 1, and are scaled when they are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import cos, pi, sin
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "parrot_envs" / "assets"
SIDES = 16
RINGS = 8

Point = tuple[float, float, float]
Corner = tuple[int, int]
"""Numbers of a vertex and of its normal, from 0."""


def on_circle(turn: float, radius: float = 1.0, z: float = 0.0) -> Point:
    """A point at a fraction `turn` of a circle."""
    return radius * cos(2 * pi * turn), radius * sin(2 * pi * turn), z


def mesh(points: list[Point], normals: list[Point], faces: Iterable[list[Corner]]) -> str:
    """Wavefront OBJ text."""
    lines = [f"# made by docs/{Path(__file__).name}"]
    lines += ["v " + " ".join(f"{x:.6f}" for x in point) for point in points]
    lines += ["vn " + " ".join(f"{x:.6f}" for x in normal) for normal in normals]
    lines += ["f " + " ".join(f"{v + 1}//{n + 1}" for v, n in face) for face in faces]
    return "\n".join(lines) + "\n"


def cylinder() -> str:
    """Upright, with a round look: normals of the side turn with its vertices."""
    low = [on_circle(k / SIDES, z=-1.0) for k in range(SIDES)]
    high = [on_circle(k / SIDES, z=1.0) for k in range(SIDES)]
    normals = [*(on_circle(k / SIDES) for k in range(SIDES)), (0.0, 0.0, -1.0), (0.0, 0.0, 1.0)]
    sides = [
        [(a, a), (b, b), (SIDES + b, b), (SIDES + a, a)]
        for a, b in ((k, (k + 1) % SIDES) for k in range(SIDES))
    ]
    bottom = [(k, SIDES) for k in reversed(range(SIDES))]
    top = [(SIDES + k, SIDES + 1) for k in range(SIDES)]
    return mesh(low + high, normals, [*sides, bottom, top])


def sphere() -> str:
    """Of rings between two poles; a vertex is its own normal."""
    points = [(0.0, 0.0, -1.0)]
    for ring in range(1, RINGS):
        angle = pi * ring / RINGS
        points += [on_circle(k / SIDES, sin(angle), -cos(angle)) for k in range(SIDES)]
    points.append((0.0, 0.0, 1.0))

    def at(ring: int, k: int) -> Corner:
        inside = 1 + (ring - 1) * SIDES + k % SIDES
        index = 0 if ring == 0 else len(points) - 1 if ring == RINGS else inside
        return index, index

    faces = [
        list(dict.fromkeys([at(r, k), at(r, k + 1), at(r + 1, k + 1), at(r + 1, k)]))
        for r, k in product(range(RINGS), range(SIDES))
    ]
    return mesh(points, points, faces)


def main() -> None:
    """Write both."""
    (ASSETS / "cylinder.obj").write_text(cylinder(), encoding="utf-8")
    (ASSETS / "sphere.obj").write_text(sphere(), encoding="utf-8")


if __name__ == "__main__":
    main()
