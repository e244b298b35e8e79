"""A task that SAC learns in seconds, and runs of it."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3 import SAC

from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.train import train
from parrot_wrapper.types import ObservationSpec
from tests.helpers import AffinePrior


class ReachEnv(gym.Env[Any, Any]):
    """Five steps; success while the first action component is above 0.5, which noise rarely is."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.taken = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.taken = 0
        return self._look(), {"is_success": False}

    def step(self, action: Any) -> Any:
        self.taken += 1
        success = bool(action[0] > 0.5)
        done = self.taken >= 5
        return self._look(), float(success), False, done, {"is_success": success}

    def _look(self) -> Any:
        return self.np_random.uniform(-1.0, 1.0, 4).astype(np.float32)


STATE = ObservationSpec(state=4)


def toy_config(**settings: Any) -> RLConfig:
    values: dict[str, Any] = {
        "env_id": "Toy-v0",
        "prior": "toy",
        "net_arch": (32,),
        "batch_size": 32,
        "learning_starts": 40,
        "total_steps": 120,
        "checkpoint_every": 60,
        "device": "cpu",
    }
    return RLConfig(**(values | settings))


def toy_train(config: RLConfig, folder: Path, **options: Any) -> SAC:
    options = {"make_env": lambda *_: ReachEnv(), "prior": AffinePrior(STATE)} | options
    return train(config, folder, progress=False, **options)
