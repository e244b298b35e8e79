"""From the arguments of an environment to its scenes and its task."""

from __future__ import annotations

from parrot_envs.appearance import ColorMode
from parrot_envs.argument_checks import check_choice
from parrot_envs.errors import EnvArgumentError
from parrot_envs.scene_sets import SCENE_SETS, ObjectChoice, SceneSet
from parrot_envs.tasks import Task, TaskKind
from parrot_envs.thing_library import object_library, pool_of_objects


def set_up_task(
    scene: str | SceneSet,
    task: TaskKind | Task,
    target: str | None,
    objects: ObjectChoice | None,
    colors: ColorMode | None,
) -> tuple[SceneSet, Task]:
    """What to draw scenes from, and what to do there; see `ManipulationEnv` for the arguments."""
    if isinstance(task, Task):
        if target is not None:
            raise EnvArgumentError(
                f"The task names its target itself ({task.target!r}), got target={target!r} "
                "beside it. Leave target out."
            )
    elif isinstance(task, str):
        task = Task(task, _target_on_table(target, objects))
    else:
        raise EnvArgumentError(f"task is a name or a Task, got {type(task).__name__}.")
    chosen = _scene_set(scene).but_with(objects=objects, colors=colors, always=task.target)
    return chosen, task


def _scene_set(scene: str | SceneSet) -> SceneSet:
    if isinstance(scene, SceneSet):
        return scene
    if not isinstance(scene, str):
        raise EnvArgumentError(f"scene is a name or a SceneSet, got {type(scene).__name__}.")
    check_choice("scene", scene, SCENE_SETS)
    return SCENE_SETS[scene]


def _target_on_table(target: str | None, objects: ObjectChoice | None) -> str | None:
    """The target, but None where a pool of objects takes the place of those with the target."""
    if target is None or not isinstance(objects, str):
        return target
    there = {thing.name for thing in pool_of_objects(objects)}
    return None if target not in there and target in object_library() else target
