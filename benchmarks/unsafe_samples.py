"""Unsafe events of random behaviour: uniform actions, and samples of a prior under several bounds.

Samples are what an agent begins with, as its warm-up behind the wrapper draws them.

    python benchmarks/unsafe_samples.py

takes five minutes on one core.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any

import gymnasium as gym

import parrot_envs  # noqa: F401 - registers the ids
from parrot_wrapper import BehavioralPriorWrapper, load_prior
from parrot_wrapper.evaluation.policies import UniformActions
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.priors.mixtures.reweighted import LikelyMixture

CHARTS = ("gaussian", "ball:0.99", "ball:0.9", "ball:0.5")
TASKS = ("ParrotGraspCup-v0", "ParrotPlaceCanInPan-v0")


def row(name: str, env: gym.Env[Any, Any], episodes: int) -> str:
    """What held-out episodes of random behaviour were like, as a row of a table."""
    policy = UniformActions(env)
    result = evaluate(policy, env, episodes=episodes, on_reset=policy.begin)
    told = (result.share("lifted"), result.success_once, result.unsafe_per_1000)
    lifted, once, unsafe = told
    assert lifted is not None and unsafe is not None  # our envs tell
    return f"| {name} | {unsafe:.1f} | {lifted.value:.2f} | {once.value:.2f} |"


def main(argv: list[str] | None = None) -> None:
    """Sample and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--prior", default="parrot-v0")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    args = parser.parse_args(argv)
    prior = load_prior(args.prior)
    for task in args.tasks:
        env = gym.make(task)
        with closing(env):
            print(f"\n{task}\n\n| | unsafe in 1,000 | lifts | succeeds |\n|---|---|---|---|")
            print(row("uniform actions", env, args.episodes), flush=True)
            for latent in CHARTS:
                wrapped = BehavioralPriorWrapper(env, prior, latent=latent)
                print(row(f"prior, {latent}", wrapped, args.episodes), flush=True)
            bound = LikelyMixture(prior, share=0.9)
            wrapped = BehavioralPriorWrapper(env, bound)
            print(row("prior, likely 0.9", wrapped, args.episodes), flush=True)


if __name__ == "__main__":
    main()
