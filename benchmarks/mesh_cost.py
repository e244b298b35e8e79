"""What PyBullet's meshes cost beside our primitives: `python benchmarks/mesh_cost.py`.

Both envs play the same seeds in turns, with random actions; times are of this process alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import gymnasium as gym
import numpy as np

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper.evaluation.report import markdown_table

ENV_ID = "ParrotGrasp-v0"
LOADED = 300  # episodes before the clock starts: every shape was seen, and is in memory


def main(argv: Sequence[str] | None = None) -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args(argv)
    envs = [gym.make(ENV_ID), gym.make(ENV_ID, objects="bullet")]
    spent = np.zeros((2, 2))
    for seed in range(LOADED if args.episodes > 1 else 0):
        for env in envs:
            env.reset(seed=seed)
    for seed in range(args.episodes):
        for env, times in zip(envs, spent, strict=True):
            env.action_space.seed(seed)
            begun = time.process_time()
            env.reset(seed=seed)
            times[0] += time.process_time() - begun
            begun = time.process_time()
            ended = False
            while not ended:
                *_, truncated, _ = env.step(env.action_space.sample())
                ended = truncated
            times[1] += time.process_time() - begun
    for env in envs:
        env.close()
    ms = 1e3 * spent / args.episodes
    rows = [
        [what, *(f"{value:.1f}" for value in column), f"{column[1] / column[0]:.2f}"]
        for what, column in zip(("reset", "25 steps"), ms.T, strict=True)
    ]
    print(markdown_table(["ms", "novel objects", "bullet objects", "ratio"], rows))


if __name__ == "__main__":
    main()
