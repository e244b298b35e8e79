"""Objects of PyBullet's own data package: a second test set, made of meshes."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from parrot_envs.appearance import colors_from_name
from parrot_envs.shapes import Part, Thing
from parrot_envs.training_thing import grasp_height


@cache
def bullet_objects() -> tuple[Thing, ...]:
    """Toys (`"duck"`, `"mug"`, ...) and procedural blobs (`"blob-001"`, ...), 50 g each.

    `benchmarks/stand_bullet_objects.py` found how each is scaled and on which side it stands.
    """
    table = json.loads((files("parrot_envs") / "assets/bullet_objects.json").read_text("utf-8"))
    return tuple(thing_from_row(name, row) for name, row in table.items())


def thing_from_row(name: str, row: dict[str, Any]) -> Thing:
    """The object that one entry of the table describes."""
    height = float(row["height"])
    part = Part(
        "mesh", (row["scale"],) * 3, tuple(row["position"]), mesh=row["mesh"],
        rotation=tuple(row["rotation"]),
    )  # fmt: skip
    return Thing(
        name, (part,), float(row["radius"]), height, yaw_range=float(row["yaw_range"]),
        grasp=(0.0, 0.0, grasp_height(height)), colors=colors_from_name(name),
    )  # fmt: skip
