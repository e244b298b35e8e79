"""Every thing that comes with the package, by name; and the named pools of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from parrot_envs.argument_checks import check_choice
from parrot_envs.bullet_objects import bullet_objects
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.errors import EnvArgumentError
from parrot_envs.novel_objects import novel_objects
from parrot_envs.shapes import Thing
from parrot_envs.training_objects import training_objects

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
