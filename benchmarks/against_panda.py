"""Our envs beside panda-gym's pick-and-place, both giving a 48x48 image every step.

Used by `envs.py --panda`. panda-gym is none of this project's dependencies; to have it without
disturbing yours: `pip install --no-deps --target /tmp/panda panda-gym==3.0.7`, then
`PYTHONPATH=/tmp/panda`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from statistics import median
from time import thread_time
from typing import Any

import gymnasium as gym

PANDA_ID = "PandaPickAndPlace-v3"
SIZE = 48
ROUND_STEPS = 25


def panda_is_installed() -> bool:
    """Whether there is anything to compare with."""
    return find_spec("panda_gym") is not None


def make_panda() -> gym.Env[Any, Any]:
    """panda-gym's env, drawing small images with PyBullet's CPU renderer like ours."""
    import panda_gym  # noqa: F401  # registers the id

    return gym.make(
        PANDA_ID, render_mode="rgb_array", renderer="Tiny", render_width=SIZE, render_height=SIZE
    )


def seconds_per_step(env: gym.Env[Any, Any], seed: int) -> tuple[float, float]:
    """Seconds in the reset, and in a mean step with its image, of one round of random actions."""
    started = thread_time()
    env.reset(seed=seed)
    resetting = thread_time() - started
    stepping = 0.0
    for _ in range(ROUND_STEPS):
        action = env.action_space.sample()
        started = thread_time()
        observation = env.step(action)[0]
        image = env.render() if isinstance(observation, dict) else observation
        stepping += thread_time() - started
        if image.shape != (SIZE, SIZE, 3):
            raise RuntimeError(f"Expected images of {SIZE}x{SIZE}, got {image.shape}.")
    return resetting, stepping / ROUND_STEPS


def panda_table(env_ids: Sequence[str], rounds: int) -> list[list[str]]:
    """Header and rows: speeds of all, played in turns as the machine's load varies."""
    envs = {PANDA_ID: make_panda(), **{env_id: gym.make(env_id) for env_id in env_ids}}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in envs}
    for env in envs.values():
        seconds_per_step(env, 1_000)
    for seed in range(rounds):
        for name, env in envs.items():
            times[name].append(seconds_per_step(env, seed))
    for env in envs.values():
        env.close()
    panda = [step for _, step in times[PANDA_ID]]
    return [
        ["env", "steps/s with image", "times panda-gym", "reset ms"],
        *(
            [
                name,
                f"{1 / median(step for _, step in measured):.0f}",
                f"{median(b / a for (_, a), b in zip(measured, panda, strict=True)):.1f}",
                f"{1e3 * median(reset for reset, _ in measured):.2f}",
            ]
            for name, measured in times.items()
        ),
    ]
