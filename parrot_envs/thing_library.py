"""Every thing that comes with the package, by name; and the named pools of objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from parrot_envs.appearance import colors_from_name, grasp_height
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.errors import EnvArgumentError, check_choice
from parrot_envs.novel_objects import novel_objects
from parrot_envs.shapes import Part, Thing
from parrot_envs.training_objects import training_objects


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


OBJECT_POOLS: dict[str, Callable[[], Iterable[Thing]]] = {
    "training": training_objects,
    "novel": lambda: novel_objects().values(),
    "bullet": bullet_objects,
}
"""Objects that go by one name, such as `objects="bullet"`."""


@cache
def object_library() -> Mapping[str, Thing]:
    """All objects of all pools by name."""
    return {thing.name: thing for pool in OBJECT_POOLS.values() for thing in pool()}


@cache
def container_library() -> Mapping[str, Thing]:
    """All containers by name."""
    return {**{thing.name: thing for thing in training_containers()}, **novel_containers()}


def pool_of_objects(name: str) -> tuple[Thing, ...]:
    """The objects of a pool."""
    check_choice("pool of objects", name, OBJECT_POOLS)
    return tuple(OBJECT_POOLS[name]())


def find_thing(kind: str, wanted: object, library: Mapping[str, Thing]) -> Thing:
    """A thing itself, or the one of the library that has this name."""
    if isinstance(wanted, Thing):
        return wanted
    if not isinstance(wanted, str):
        raise EnvArgumentError(
            f"Expected a Thing or the name of one, got {type(wanted).__name__} as {kind}."
        )
    check_choice(kind, wanted, library)
    return library[wanted]
