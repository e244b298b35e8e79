"""The paper's eight tasks one after another, with and without refits of the prior between them.

    parrot collect --env-id ParrotMultiTask-v0 --episodes 10000 --stray-steps 6 --out datasets/tasks
    python benchmarks/lifelong.py --data datasets/tasks

An agent learns each task behind the prior. With refits, the prior then learns from successful
episodes of all agents so far, mixed with old data (`parrot refit`), and the next agent learns
behind that one. Later tasks show whether they are learned sooner, and samples of the last prior
whether earlier ones are kept. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import gymnasium as gym
import numpy as np

import parrot_envs  # noqa: F401 - registers the ids
from parrot_wrapper import load_prior
from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.policies import PriorSamples
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.evaluation.rollouts import Rate, evaluate
from parrot_wrapper.experiments.run_worker import success_curve
from parrot_wrapper.experiments.studies import GRASP_TASKS, PLACE_TASKS
from parrot_wrapper.priors.loading import RUN_SUBFOLDER
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.evaluation import evaluate_run
from parrot_wrapper.rl.refit import refit
from parrot_wrapper.rl.refit_job import RefitJob
from parrot_wrapper.rl.train import train

FIXED, REFITTED = "fixed", "refitted"
"""The prior stays as it is, or is refitted after each task."""


def life(options: argparse.Namespace, way: str) -> str:
    """Learn the tasks in turn; the last prior."""
    home, prior, runs = options.out / way, options.prior, list[Path]()
    for task in options.tasks:
        config = RLConfig(
            task, prior=prior, batch_size=128, total_steps=options.steps, seed=options.seed
        )
        train(config, home / task, label=f"{way} {task}")
        if way == FIXED:
            continue
        out = home / f"prior-after-{task}"
        job = RefitJob(
            options.prior, options.data, (*runs, home / task), out, episodes=options.episodes
        )
        try:
            refit(job, {"steps": options.refit_steps})
        except DataError as error:
            print(f"{error} The prior stays as it was.", flush=True)
        else:
            runs.append(home / task)
            prior = str(out / RUN_SUBFOLDER)
    return prior


def learned(run: Path, options: argparse.Namespace) -> str:
    """Mean success over all of training, and success in held-out episodes at its end."""
    curve = success_curve(run, env_steps=options.steps)
    end = evaluate_run(run, episodes=options.held_out).success
    return f"{np.mean([share for _, share in curve]):.2f}; {end}"


def samples(prior: str, task: str, options: argparse.Namespace) -> Rate:
    """Share of held-out episodes in which samples of a prior do a task at some time."""
    with closing(gym.make(task)) as env:
        policy = PriorSamples(env, load_prior(prior))
        return evaluate(policy, env, episodes=options.held_out).success_once


def main(args: Sequence[str] | None = None) -> None:
    """Learn the tasks, and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="old data of the prior")
    parser.add_argument("--prior", default="parrot-v0", help="packaged name or folder")
    parser.add_argument("--out", type=Path, default=Path("runs/lifelong"))
    parser.add_argument("--tasks", nargs="+", default=[*GRASP_TASKS, *PLACE_TASKS])
    parser.add_argument("--steps", type=int, default=10_000, help="env steps of each agent")
    parser.add_argument("--refit-steps", type=int, default=2_000)
    parser.add_argument("--episodes", type=int, default=100, help="recorded of each agent")
    parser.add_argument("--held-out", type=int, default=100, help="episodes of an evaluation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(args)
    first, last = (life(options, way) for way in (FIXED, REFITTED))
    rows = [
        [
            f"`{task}`",
            *(learned(options.out / way / task, options) for way in (FIXED, REFITTED)),
            *(str(samples(prior, task, options)) for prior in (first, last)),
        ]
        for task in options.tasks
    ]
    header = ["task", "fixed prior", "with refits", "samples, first prior", "samples, last prior"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
