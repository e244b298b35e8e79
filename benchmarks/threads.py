"""What a second torch thread does for one decision of the prior, and for one update of SAC.

    python benchmarks/threads.py

Wall-clock, because CPU time adds up over threads; so it needs cores that nothing else uses. Medians
of rounds in which one thread and several take turns, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.logger import Logger

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.training.rl_config import RLConfig
from parrot_wrapper.training.rl_model import build_model, wrap_env


class Work(NamedTuple):
    """Something to do, and how often in a round."""

    name: str
    run: Callable[[], Any]
    calls: int


def decisions(prior_name: str, batches: Sequence[int]) -> list[Work]:
    """Features and decoding, as a wrapper does them."""
    prior = load_prior(prior_name)

    def work(batch: int) -> Work:
        shape = (batch, *(prior.observation_spec.image or ()))
        observation = {"image": np.random.default_rng(0).integers(0, 256, shape, np.uint8)}
        latent = np.zeros((batch, prior.latent_dim), np.float32)
        return Work(
            f"features and decoding of {batch}",
            lambda: prior.decode_features(latent, prior.features(observation)),
            max(100 // batch, 5),
        )

    return [work(batch) for batch in batches]


def updates(env_id: str, prior: str, sizes: Sequence[int]) -> list[Work]:
    """SAC's update as `parrot train` has it."""
    config = RLConfig(env_id=env_id, prior=prior)
    env = wrap_env(gym.make(env_id), config)
    model = build_model(config, env)
    model.set_logger(Logger(None, []))
    model.learn(config.learning_starts)
    env.close()
    return [
        Work(f"SAC's update, batch {size}", partial(model.train, 1, size), 20) for size in sizes
    ]


def wall_us(work: Work, threads: int) -> float:
    """Microseconds of one call."""
    torch.set_num_threads(threads)
    work.run()
    started = time.perf_counter()
    for _ in range(work.calls):
        work.run()
    return 1e6 * (time.perf_counter() - started) / work.calls


def compare(work: Work, threads: int, rounds: int) -> list[str]:
    """A row of the table."""
    pairs = [(wall_us(work, 1), wall_us(work, threads)) for _ in range(rounds)]
    one, several = np.median(pairs, axis=0)
    ratio = float(np.median([more / single for single, more in pairs]))
    return [work.name, f"{one:.0f}", f"{several:.0f}", f"{ratio:.2f}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", default="ParrotGraspCup-v0")
    parser.add_argument("--prior", default="parrot-v0", help="packaged name or folder")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--sizes", type=int, nargs="*", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args(argv)
    works = [*decisions(args.prior, args.batches), *updates(args.env_id, args.prior, args.sizes)]
    rows = [compare(work, args.threads, args.rounds) for work in works]
    print(markdown_table(["work", "1 thread us", f"{args.threads} threads us", "ratio"], rows))


if __name__ == "__main__":
    main()
