"""How long a training run will take, from a short measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper.rl.config import RLConfig, UniformReplay
from parrot_wrapper.rl.model import build_model, wrap_env
from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper

_PROBE_STEPS = 60
_SHORT_RUN = 1_000
"""Env steps; a run of no more is over about as soon as it is measured."""


def training_seconds_left(
    config: RLConfig, make_env: Callable[..., gym.Env[Any, Any]], *, done: int = 0
) -> float:
    """Seconds that an RL run takes, by a throw-away agent that makes a few steps and updates.

    Args:
        config: The run's settings.
        make_env: Makes the bare env.
        done: Env steps that the run has made already.

    Returns:
        The estimate; 0 where the run is so short that nothing is measured.
    """
    left = config.total_steps - done
    if left <= _SHORT_RUN:
        return 0.0
    probe = replace(
        config,
        learning_starts=_PROBE_STEPS,
        first_rewards=0,
        raw_actions=None if config.latent_actions else replace(config.raw, initial_actor=None),
        replay=config.replay if isinstance(config.replay, UniformReplay) else UniformReplay(),
        buffer_size=max(_PROBE_STEPS, config.batch_size),
    )
    env = wrap_env(make_env(config.env_id, **config.env_kwargs), probe, None)
    venv = DummyVecEnv([lambda: env])
    try:
        model = build_model(probe, venv, None)
        started = time.perf_counter()
        model.learn(_PROBE_STEPS)
        warmed_up = time.perf_counter()
        model.learn(_PROBE_STEPS // 2, reset_num_timesteps=False)
        warm_up = (warmed_up - started) / _PROBE_STEPS
        full = (time.perf_counter() - warmed_up) / (_PROBE_STEPS // 2)
        horizon = _horizon(env)
    finally:
        venv.close()
    first = min(left, max(0, config.learning_starts - done))
    return (first * warm_up + (left - first) * full) / horizon


def _horizon(env: gym.Env[Any, Any]) -> int:
    wrapper = unwrap_wrapper(env, BehavioralPriorWrapper)
    return wrapper.prior.horizon if isinstance(wrapper, BehavioralPriorWrapper) else 1
