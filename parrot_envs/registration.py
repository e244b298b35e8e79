"""The table of environment ids; PyBullet is not imported before `gym.make`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

EPISODE_STEPS = 25

_TABLE: dict[str, dict[str, Any]] = {
    "ParrotMultiTask-v0": {"scene": "multi-task", "task": "any"},
    "ParrotGrasp-v0": {"scene": "novel", "task": "grasp", "target": "cup"},
    "ParrotPickPlace-v0": {"scene": "novel", "task": "place", "target": "can"},
    "ParrotGraspCup-v0": {"scene": "cup-cap-block", "task": "grasp", "target": "cup"},
    "ParrotPlaceCanInPan-v0": {"scene": "bar-can-pan", "task": "place", "target": "can"},
}

ENV_IDS = tuple(_TABLE)
"""All registered environment ids."""


def register_all() -> None:
    """Register every id with Gymnasium; ids that are registered already are left alone."""
    for env_id, kwargs in _TABLE.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point="parrot_envs.env:ManipulationEnv",
                max_episode_steps=EPISODE_STEPS,
                kwargs=kwargs,
            )
