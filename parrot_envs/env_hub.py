"""Our envs as LeRobot's EnvHub asks for them: a file `env.py` with `make_env` on the Hub.

The whole file may be `from parrot_envs.env_hub import make_env`.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import parrot_envs

_NAMES = {"image": "pixels", "proprio": "agent_pos"}
"""Ours to LeRobot's."""


class LeRobotNames(gym.ObservationWrapper[Any, Any, Any]):
    """Observations of image and proprioception under the names "pixels" and "agent_pos"."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, gym.spaces.Dict)  # of obs="image_proprio"
        self.observation_space = gym.spaces.Dict(self.observation(env.observation_space.spaces))

    def observation(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The same under LeRobot's names."""
        return {theirs: observation[ours] for ours, theirs in _NAMES.items()}


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Mapping[str, Any] | None = None
) -> dict[str, dict[int, VectorEnv[Any, Any, Any]]]:
    """Vector envs by suite and task, as LeRobot evaluates policies in them.

    Infos of ended episodes stand in "final_info", success among them.

    Args:
        n_envs: How many envs side by side, >= 1.
        use_async_envs: Each in a process of its own.
        cfg: "env_id", ParrotPickPlace-v0 where left out, and further keywords of `gymnasium.make`.

    Example:
        >>> envs = make_env(2, cfg={"env_id": "ParrotGraspCup-v0", "image_size": 64})["parrot"][0]
        >>> envs.single_observation_space["pixels"].shape, envs.num_envs
        ((64, 64, 3), 2)
        >>> envs.close()
    """
    options = dict(cfg or {})
    env_id = options.pop("env_id", "ParrotPickPlace-v0")
    make = [partial(_make, env_id, options)] * n_envs
    if not use_async_envs:
        return {"parrot": {0: SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)}}
    safe = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    together = AsyncVectorEnv(make, context=safe, autoreset_mode=AutoresetMode.SAME_STEP)
    return {"parrot": {0: together}}


def _make(env_id: str, options: dict[str, Any]) -> gym.Env[Any, Any]:
    assert parrot_envs.ENV_IDS  # its import registers them, also in another process
    return LeRobotNames(gym.make(env_id, obs="image_proprio", **options))
