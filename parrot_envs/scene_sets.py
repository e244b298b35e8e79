"""Which things may stand on the table together: the training pool and the test scenes."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.errors import EnvArgumentError, unknown_choice
from parrot_envs.novel_objects import novel_objects
from parrot_envs.shapes import Color, Thing
from parrot_envs.training_objects import training_objects

OBJECTS_IN_SCENE = 2
_TWO_TONE_SHARE = 0.5

Drawn = tuple[list[Thing], Thing, list[tuple[Color, Color]]]


@cache
def _object_library() -> dict[str, Thing]:
    return {**{t.name: t for t in training_objects()}, **novel_objects()}


@cache
def _container_library() -> dict[str, Thing]:
    return {**{t.name: t for t in training_containers()}, **novel_containers()}


def _random_colors(rng: np.random.Generator) -> tuple[Color, Color]:
    hue, saturation, value = rng.random(), rng.uniform(0.55, 1.0), rng.uniform(0.55, 0.95)
    first = colorsys.hsv_to_rgb(hue, saturation, value)
    if rng.random() >= _TWO_TONE_SHARE:
        return first, first
    second = colorsys.hsv_to_rgb(
        (hue + rng.uniform(-0.08, 0.08)) % 1.0, saturation * rng.uniform(0.4, 1.0), value
    )
    return first, second


def _random_container_colors(rng: np.random.Generator) -> tuple[Color, Color]:
    first = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.3, 0.9))
    second = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.2, 0.9))
    return first, second


@dataclass(frozen=True)
class SceneSet:
    """A pool of objects and containers from which each episode's scene is drawn.

    Attributes:
        objects: Names of the objects to choose two from.
        containers: Names of the containers to choose one from.
        always: Objects that are in every scene (the target).
        random_colors: New colours in each episode instead of each thing's own.
    """

    objects: tuple[str, ...]
    containers: tuple[str, ...]
    always: tuple[str, ...] = ()
    random_colors: bool = False

    def with_objects(
        self, objects: tuple[str, ...] | list[str] | None, target: str | None
    ) -> SceneSet:
        """This set with the user's choice of objects, checked; the target is always there.

        Raises:
            EnvArgumentError: Unknown or too few objects, or a target that is not among them.
        """
        chosen = self.objects if objects is None else tuple(objects)
        for name in chosen:
            if name not in _object_library():
                raise unknown_choice("object", name, _object_library())
        if len(set(chosen)) < OBJECTS_IN_SCENE:
            raise EnvArgumentError(
                f"A scene needs at least {OBJECTS_IN_SCENE} different objects, got {chosen!r}."
            )
        if target is None:
            return replace(self, objects=chosen)
        if target not in chosen:
            raise unknown_choice("target", target, chosen)
        return replace(self, objects=chosen, always=(target,))

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Choose this episode's objects, container and colours."""
        others = [name for name in self.objects if name not in self.always]
        count = OBJECTS_IN_SCENE - len(self.always)
        picked = [others[int(i)] for i in rng.choice(len(others), size=count, replace=False)]
        objects = [_object_library()[name] for name in (*self.always, *picked)]
        container = _container_library()[self.containers[int(rng.integers(len(self.containers)))]]
        if not self.random_colors:
            return objects, container, [t.colors for t in (*objects, container)]
        colors = [_random_colors(rng) for _ in objects]
        return objects, container, [*colors, _random_container_colors(rng)]


_NOVEL = tuple(novel_objects())
SCENE_SETS: dict[str, SceneSet] = {
    "multi-task": SceneSet(
        tuple(t.name for t in training_objects()),
        tuple(t.name for t in training_containers()),
        random_colors=True,
    ),
    "novel": SceneSet(_NOVEL, tuple(novel_containers())),
    "bar-can-pan": SceneSet(("bar", "can"), ("pan",)),
    "cup-cap-block": SceneSet(("cup", "cap"), ("block",)),
}
"""Every set by name. Objects of the test scenes never occur in `multi-task`."""
