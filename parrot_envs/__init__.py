"""Fast PyBullet manipulation environments from small images, registered in Gymnasium.

What tasks of your own are made of is imported when it is first used, so importing this package
registers the ids and does not load PyBullet.

Example:
    >>> import gymnasium as gym, parrot_envs
    >>> env = gym.make("ParrotPickPlace-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape, info["target"]
    ((48, 48, 3), ['can'])
    >>> env.close()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from parrot_envs.registration import ENV_IDS, PAPER_TASKS, POINT_MASS_IDS, register_all

if TYPE_CHECKING:
    from parrot_envs.env import ManipulationEnv
    from parrot_envs.own_things import make_container, make_object
    from parrot_envs.scene_sets import SceneSet
    from parrot_envs.shapes import Thing, box, cylinder, rim, sphere, walls
    from parrot_envs.tasks import Situation, Task

register_all()

__all__ = [
    "ENV_IDS",
    "PAPER_TASKS",
    "POINT_MASS_IDS",
    "ManipulationEnv",
    "SceneSet",
    "Situation",
    "Task",
    "Thing",
    "box",
    "cylinder",
    "make_container",
    "make_object",
    "rim",
    "sphere",
    "walls",
]

_HOMES = {
    "ManipulationEnv": "env",
    "SceneSet": "scene_sets",
    "Situation": "tasks",
    "Task": "tasks",
    "Thing": "shapes",
    "box": "shapes",
    "cylinder": "shapes",
    "make_container": "own_things",
    "make_object": "own_things",
    "rim": "shapes",
    "sphere": "shapes",
    "walls": "shapes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
