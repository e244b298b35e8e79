"""The table of environment ids; PyBullet is not imported before `gym.make`."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym

EPISODE_STEPS = 25


@dataclass(frozen=True)
class Entry:
    """One registered environment.

    Attributes:
        scene: Which things may stand on the table, a name in `scene_sets.SCENE_SETS`.
        task: `"grasp"`, `"place"` or `"any"`.
        target: Name of the object that the task is about, None where any object counts.
        in_paper: Whether it is one of the eight tasks that the PARROT paper evaluates.
    """

    scene: str
    task: str
    target: str | None = None
    in_paper: bool = False


TABLE: dict[str, Entry] = {
    "ParrotMultiTask-v0": Entry("multi-task", "any"),
    "ParrotGrasp-v0": Entry("novel", "grasp", "cup"),
    "ParrotPickPlace-v0": Entry("novel", "place", "can"),
    "ParrotGraspBar-v0": Entry("bar-can-pan", "grasp", "bar", in_paper=True),
    "ParrotPlaceCanInPan-v0": Entry("bar-can-pan", "place", "can", in_paper=True),
    "ParrotGraspSculpture-v0": Entry("sculpture-vase-basket", "grasp", "sculpture", in_paper=True),
    "ParrotPlaceSculptureInBasket-v0": Entry(
        "sculpture-vase-basket", "place", "sculpture", in_paper=True
    ),
    "ParrotGraspChair-v0": Entry("chair-vase-checkerboard", "grasp", "chair"),
    "ParrotPlaceChairOnCheckerboard-v0": Entry(
        "chair-vase-checkerboard", "place", "chair", in_paper=True
    ),
    "ParrotGraspCup-v0": Entry("cup-cap-block", "grasp", "cup", in_paper=True),
    "ParrotGraspCap-v0": Entry("cup-cap-block", "grasp", "cap", in_paper=True),
    "ParrotPlaceCapOnBlock-v0": Entry("cup-cap-block", "place", "cap", in_paper=True),
}
"""Every environment by id; the documentation and the tests are made from it."""

ENV_IDS = tuple(TABLE)
"""All ids of the arm at the table."""

POINT_MASS_TABLE = {
    "ParrotSequentialNavigation-v0": (
        "parrot_envs.sequential_navigation:SequentialNavigation",
        150,
    ),
    "ParrotMoveBox-v0": ("parrot_envs.move_box:MoveBox", 100),
}
"""The envs of a point mass by id: where the class is, and the steps of an episode."""

POINT_MASS_IDS = tuple(POINT_MASS_TABLE)
"""All ids of a point mass in a square; they need no PyBullet."""

PAPER_TASKS = tuple(env_id for env_id, entry in TABLE.items() if entry.in_paper)
"""The ids of the eight tasks that the PARROT paper evaluates."""


def register_all() -> None:
    """Register every id with Gymnasium; ids that are registered already are left alone."""
    for env_id, entry in TABLE.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point="parrot_envs.env:ManipulationEnv",
                max_episode_steps=EPISODE_STEPS,
                kwargs={"scene": entry.scene, "task": entry.task, "target": entry.target},
            )
    for env_id, (entry_point, steps) in POINT_MASS_TABLE.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=entry_point, max_episode_steps=steps)
