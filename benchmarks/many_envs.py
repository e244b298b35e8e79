"""What a step of an env costs where one prior decodes for many of them.

    python benchmarks/many_envs.py

A point mass, whose own step costs next to nothing, so that the rest is seen: envs that share two
worker processes (`GroupedVectorEnv`), with `BehavioralPriorVectorWrapper` around them and without,
and one env with `BehavioralPriorWrapper`. Microseconds of CPU time for a step of one env, of this
process and of the workers together, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorWrapper,
    FlowPrior,
    FlowPriorConfig,
    GroupedVectorEnv,
    ObservationSpec,
)
from parrot_wrapper.evaluation.report import markdown_table

ENV_ID = "ParrotSequentialNavigation-v0"
_TICK = os.sysconf("SC_CLK_TCK")


def make() -> gym.Env[Any, Any]:
    """The env."""
    import parrot_envs  # noqa: F401  # registers the ids, in the workers too

    return gym.make(ENV_ID, obs="state")


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of processes so far."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            total += sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    return total / _TICK


def microseconds(step: Callable[[], object], envs: int, steps: int, pids: Sequence[int]) -> float:
    """CPU time for a step of one env."""
    for _ in range(3):
        step()
    begun = cpu_seconds(pids)
    for _ in range(steps):
        step()
    return 1e6 * (cpu_seconds(pids) - begun) / (steps * envs)


def of_one(prior: FlowPrior, steps: int) -> float:
    """One env with the plain wrapper; resets are counted, as with many."""
    env = BehavioralPriorWrapper(make(), prior)
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()

    return microseconds(step, 1, steps, [os.getpid()])


def of_many(prior: FlowPrior, count: int, workers: int, steps: int) -> tuple[float, float]:
    """Grouped envs without and with the prior around them."""
    envs = GroupedVectorEnv([make] * count, workers=workers)
    pids = [os.getpid(), *{worker._process.pid or 0 for worker in envs._workers}]
    found = []
    for stepped in (envs, BehavioralPriorVectorWrapper(envs, prior)):
        stepped.reset(seed=0)
        actions = np.zeros(stepped.action_space.shape or (), np.float32)
        found.append(microseconds(lambda s=stepped, a=actions: s.step(a), count, steps, pids))
    envs.close()
    return found[0], found[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--envs", type=int, nargs="+", default=[64, 256, 1_024])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20_000, help="of all envs together")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    [size] = make().observation_space.shape or ()
    prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=size), 2, "state"))
    one = of_one(prior, max(200, args.steps // 10))
    rows = [["1", "", f"{one:.0f}", "1.00"]]
    for count in args.envs:
        bare, driven = of_many(prior, count, args.workers, max(3, args.steps // count))
        rows.append([str(count), f"{bare:.0f}", f"{driven:.0f}", f"{driven / one:.2f}"])
    header = ["envs", "without a prior, us", "with one, us", "of one env"]
    print(markdown_table(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
