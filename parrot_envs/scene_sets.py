"""Which things may stand on the table together: the training pool and the test scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from parrot_envs.appearance import COLOR_MODES, ColorMode, TwoColors, draw_colors
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.errors import EnvArgumentError, check_choice
from parrot_envs.own_things import check_container, check_object, check_scene
from parrot_envs.shapes import Thing
from parrot_envs.thing_library import (
    container_library,
    find_thing,
    object_library,
    pool_of_objects,
)

OBJECTS_IN_SCENE = 2

ObjectChoice: TypeAlias = str | Sequence[str | Thing]
"""The name of a pool, or objects and names of objects."""
Drawn: TypeAlias = tuple[list[Thing], Thing, list[TwoColors]]


class SceneSet:
    """A pool of objects and containers from which each episode's scene is drawn.

    Args:
        objects: Objects, or names of objects, to choose two from; or the name of a pool,
            `"training"`, `"novel"` or `"bullet"`.
        containers: Containers, or names of containers, to choose one from.
        colors: `"fixed"`, `"random"` or `"shared"`, see `appearance.draw_colors`.
        always: Name of an object that is in every scene.

    Raises:
        EnvArgumentError: Something is unknown, missing, named twice, too large for the gripper or
            for the table.
    """

    def __init__(
        self,
        objects: ObjectChoice,
        containers: Sequence[str | Thing],
        *,
        colors: ColorMode = "fixed",
        always: str | None = None,
    ) -> None:
        """Look the names up and check that everything fits."""
        self.objects = _found_objects(objects, object_library())
        self.containers = _found("container", containers, container_library(), check_container)
        if len(self.objects) < OBJECTS_IN_SCENE or not self.containers:
            raise EnvArgumentError(
                f"A scene needs at least {OBJECTS_IN_SCENE} different objects and a container, "
                f"got {[t.name for t in self.objects]} and {[t.name for t in self.containers]}."
            )
        check_scene(self.objects, self.containers, OBJECTS_IN_SCENE)
        names = [thing.name for thing in self.objects]
        if always is not None:
            check_choice("target", always, names)
        check_choice("colors", colors, COLOR_MODES)
        self.colors, self.always = colors, always
        self._always = [thing for thing in self.objects if thing.name == always]
        self._others = [thing for thing in self.objects if thing.name != always]

    def but_with(
        self,
        *,
        objects: ObjectChoice | None = None,
        colors: ColorMode | None = None,
        always: str | None = None,
    ) -> SceneSet:
        """A set with other objects, colours or a target; None leaves what is here.

        Raises:
            EnvArgumentError: As for a new set.
        """
        known = {**object_library(), **{thing.name: thing for thing in self.objects}}
        return SceneSet(
            self.objects if objects is None else _found_objects(objects, known),
            self.containers,
            colors=colors or self.colors,
            always=always or self.always,
        )

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Choose this episode's objects, container and colours."""
        count = OBJECTS_IN_SCENE - len(self._always)
        picked = rng.choice(len(self._others), size=count, replace=False)
        objects = [*self._always, *(self._others[int(i)] for i in picked)]
        container = self.containers[int(rng.integers(len(self.containers)))]
        return objects, container, draw_colors(self.colors, objects, container, rng)


def _found_objects(choice: ObjectChoice, library: Mapping[str, Thing]) -> tuple[Thing, ...]:
    if isinstance(choice, str):
        return pool_of_objects(choice)
    return _found("object", choice, library, check_object)


def _found(
    kind: str, choice: object, library: Mapping[str, Thing], check: Callable[[Thing], None]
) -> tuple[Thing, ...]:
    if not isinstance(choice, Sequence) or isinstance(choice, str):
        raise EnvArgumentError(f"Expected a list of {kind}s or their names, got {choice!r}.")
    things = tuple(find_thing(kind, wanted, library) for wanted in choice)
    for thing in things:
        if library.get(thing.name) is not thing:  # what is known was checked
            check(thing)
    return things


SCENE_SETS = {
    "multi-task": SceneSet("training", [t.name for t in training_containers()], colors="random"),
    "novel": SceneSet("novel", list(novel_containers())),
    "bar-can-pan": SceneSet(("bar", "can"), ("pan",)),
    "sculpture-vase-basket": SceneSet(("sculpture", "vase"), ("basket",)),
    "chair-vase-checkerboard": SceneSet(("chair", "vase"), ("checkerboard",)),
    "cup-cap-block": SceneSet(("cup", "cap"), ("block",)),
}
"""Every set by name. Objects of the test scenes never occur in `multi-task`."""
