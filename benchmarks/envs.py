"""Speed of the envs on one core, beside the bare cost of their own physics and rendering.

    python benchmarks/envs.py
    python benchmarks/envs.py --panda      # beside panda-gym's env, if that is installed
    python benchmarks/envs.py --workers    # by number of worker processes, on all cores

Every env plays seeded episodes of random actions, with a clock around each `stepSimulation` and
`getCameraImage`. What a step takes beyond them is this package's own: kinematics, task logic,
copying images. The ratio does not depend on the machine as much as the speeds do. Speeds are by
this process's time on its core, and all figures are those of the median episode: other work on the
machine disturbs them little. The clocks themselves cost about one percent.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import gymnasium as gym
from against_panda import PANDA_ID, panda_is_installed, panda_table
from call_clock import CallClock
from worker_processes import workers_table

import parrot_envs
from parrot_envs.sim import bullet

BARE_CALLS = ("stepSimulation", "getCameraImage")


@dataclass(frozen=True)
class EpisodeTimes:
    """Seconds of one episode's reset and mean step, and how much longer than bare a step took."""

    reset: float
    step: float
    ratio: float
    steps: int


def play(env: gym.Env[Any, Any], seed: int, clock: CallClock) -> EpisodeTimes:
    """One random episode; only time within `reset` and `step` counts."""
    begun = thread_time()
    env.reset(seed=seed)
    reset = thread_time() - begun
    steps, stepping, whole, bare, ended = 0, 0.0, 0.0, -clock.seconds, False
    while not ended:
        action = env.action_space.sample()
        begun, started = thread_time(), perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        whole += perf_counter() - started
        stepping += thread_time() - begun
        ended = terminated or truncated
        steps += 1
    bare += clock.seconds
    return EpisodeTimes(reset, stepping / steps, whole / bare, steps)


def measure(env_id: str, episodes: int) -> list[str]:
    """One row of the table."""
    env, clock = gym.make(env_id), CallClock()
    env.action_space.seed(0)
    with clock.installed(bullet, BARE_CALLS):
        for seed in range(1_000, 1_005):
            play(env, seed, clock)  # shapes are loaded when they are first used
        played = [play(env, seed, clock) for seed in range(episodes)]
    env.close()
    return [
        env_id,
        f"{1 / median(e.step for e in played):.0f}",
        f"{median(e.ratio / e.step for e in played):.0f}",
        f"{median(e.ratio for e in played):.2f}",
        f"{1e3 * median(e.reset for e in played):.2f}",
        f"{1 / median(e.step + e.reset / e.steps for e in played):.0f}",
    ]


def envs_table(env_ids: Sequence[str], episodes: int) -> list[list[str]]:
    """Header and rows: steps, bare steps and resets of each env."""
    header = ["env", "steps/s", "bare steps/s", "step / bare", "reset ms", "steps/s with resets"]
    return [header, *(measure(env_id, episodes) for env_id in env_ids)]


def pin_to_one_core() -> None:
    """Keep this process on one core, so that speeds are those of one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", nargs="+", default=list(parrot_envs.ENV_IDS))
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--panda", action="store_true", help="compare with panda-gym instead")
    parser.add_argument(
        "--workers", type=int, nargs="*", metavar="N", help="numbers of worker processes instead"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run with workers")
    args = parser.parse_args(argv)
    if args.panda and not panda_is_installed():
        print(f"{PANDA_ID}: not measured, panda-gym is not installed.")
        return
    if args.workers is None:
        pin_to_one_core()
        table = (panda_table if args.panda else envs_table)(args.env_id, args.episodes)
    else:
        table = workers_table(args.env_id[0], args.workers or (1, 2, 4, 8, 16), args.seconds)
    # Not above: worker processes import this file too, and have no use for torch.
    from parrot_wrapper.evaluation.report import markdown_table

    print(markdown_table(table[0], table[1:]))


if __name__ == "__main__":
    main()
