"""How long a command will take, from a short measurement at its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym

from parrot_wrapper.rl.config import RLConfig, UniformReplay

_WORTH_SAYING = 30.0
"""Seconds; what takes less is not announced."""
_PROBE_STEPS = 60
_SHORT_RUN = 1_000
"""Env steps; a run of no more is over about as soon as it is measured."""


def in_words(seconds: float) -> str:
    """A duration as one says it.

    Example:
        >>> in_words(41.0), in_words(730.0), in_words(9000.0)
        ('about 40 s', 'about 12 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def announce(what: str, seconds: float) -> None:
    """Print how long `what` takes on this machine, where that is long enough to matter."""
    if seconds >= _WORTH_SAYING:
        print(f"{what}: {in_words(seconds)} on this machine as busy as it is now.", flush=True)


def timed(action: Callable[[], Any], *, times: int = 1) -> float:
    """Seconds of one call, on average."""
    started = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - started) / times


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
    from stable_baselines3.common.vec_env import DummyVecEnv

    from parrot_wrapper.rl.model import build_model, wrap_env

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
        warm_up = timed(lambda: model.learn(_PROBE_STEPS)) / _PROBE_STEPS
        more = _PROBE_STEPS // 2
        full = timed(lambda: model.learn(more, reset_num_timesteps=False)) / more
        horizon = _horizon(env)
    finally:
        venv.close()
    first = min(left, max(0, config.learning_starts - done))
    return (first * warm_up + (left - first) * full) / horizon


def _horizon(env: gym.Env[Any, Any]) -> int:
    from stable_baselines3.common.env_util import unwrap_wrapper

    from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper

    wrapper = unwrap_wrapper(env, BehavioralPriorWrapper)
    return wrapper.prior.horizon if isinstance(wrapper, BehavioralPriorWrapper) else 1
