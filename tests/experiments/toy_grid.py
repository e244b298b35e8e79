"""A grid that takes seconds: ToyReach with a step delay; importing it registers `ToyReach-v0`."""

import time
from pathlib import Path
from typing import Any

import gymnasium as gym

from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from tests.evaluation.toy_reach import STATE, ToyReach

ENV_ID = "ToyReach-v0"
PACKAGE = "tests.experiments.toy_grid"


class SlowReach(ToyReach):
    """ToyReach that tells of placed things too, and breaks or waits where it is asked to."""

    def __init__(self, delay: float = 0.0, broken: bool = False) -> None:
        if broken:
            raise RuntimeError("this env is broken")
        super().__init__()
        self.delay = delay

    def step(self, action: Any) -> Any:
        time.sleep(self.delay)
        return super().step(action)


if ENV_ID not in gym.registry:
    gym.register(ENV_ID, entry_point=f"{PACKAGE}:SlowReach")
    gym.register("ToyBroken-v0", entry_point=f"{PACKAGE}:SlowReach", kwargs={"broken": True})


def save_toy_prior(folder: Path) -> str:
    """An untrained prior for the toy env, on disk."""
    config = FlowPriorConfig(STATE, action_dim=2, encoder="state", hidden=8)
    FlowPrior(config).save(folder)
    return str(folder)


def toy_grid(prior: str, **fields: Any) -> Grid:
    values: dict[str, Any] = {
        "name": "toy",
        "setting": "tiny",
        "tasks": (ENV_ID,),
        "methods": ("parrot", "sac"),
        "rl_seeds": (0,),
        "prior": prior,
        "rl": {
            "learning_starts": 16,
            "batch_size": 8,
            "net_arch": [8],
            "checkpoint_every": 40,
        },
        "env_steps": 96,
        "evaluation_episodes": 3,
        "gym_packages": (PACKAGE,),
    }
    return Grid(**{**values, **fields})
