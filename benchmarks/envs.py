"""Speed of the envs on one core, beside the bare cost of their own physics and rendering.

    python benchmarks/envs.py

Every env plays the same seeded episodes of random actions twice: once as it is, once with a clock
around each `stepSimulation` and `getCameraImage`. The ratio says what everything else costs:
kinematics, task logic, copying images, new scenes. It does not depend on the machine as much as
the speeds do.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from call_clock import CallClock

import parrot_envs
from parrot_envs.sim import bullet
from parrot_wrapper.evaluation.report import markdown_table

BARE_CALLS = ("stepSimulation", "getCameraImage")


def play(env: gym.Env[Any, Any], seeds: range) -> tuple[int, float, float]:
    """Random episodes: steps, seconds in all, seconds in resets."""
    env.action_space.seed(0)
    steps, resetting, started = 0, 0.0, time.perf_counter()
    for seed in seeds:
        begun = time.perf_counter()
        env.reset(seed=seed)
        resetting += time.perf_counter() - begun
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            ended = terminated or truncated
            steps += 1
    return steps, time.perf_counter() - started, resetting


def measure(env_id: str, episodes: int) -> list[str]:
    """One row of the table."""
    env = gym.make(env_id)
    play(env, range(1_000, 1_005))  # shapes are loaded when they are first used
    steps, seconds, resetting = play(env, range(episodes))
    clock = CallClock()
    with clock.installed(bullet, BARE_CALLS):
        play(env, range(episodes))
    env.close()
    return [
        env_id,
        f"{steps / seconds:.0f}",
        f"{steps / clock.seconds:.0f}",
        f"{seconds / clock.seconds:.2f}",
        f"{1e3 * resetting / episodes:.1f}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", nargs="+", default=list(parrot_envs.ENV_IDS))
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args(argv)
    header = ["env", "steps/s with resets", "bare steps/s", "time / bare time", "reset ms"]
    print(markdown_table(header, [measure(env_id, args.episodes) for env_id in args.env_id]))


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
