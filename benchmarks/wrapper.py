"""What `BehavioralPriorWrapper` costs, beside the env's step and the prior's bare passes.

    python benchmarks/wrapper.py

Each row is one run of random latents on one core and one torch thread, with a clock around the
env's `step` and the prior's two passes: features of the new observation, and decoding a latent.
What is left is the wrapper's own: checks, chart, clipping, copies. Resets are not counted.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any, get_args

import gymnasium as gym
import torch
from call_clock import CallClock

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import BehavioralPriorWrapper, FlowPrior, FlowPriorConfig, ObservationSpec
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.priors.loading import load_prior, packaged_names
from parrot_wrapper.spaces import AgentObservation
from parrot_wrapper.types import ActionPrior


def find_prior(name: str | None) -> ActionPrior:
    """The named prior, else a packaged one, else an untrained one, which costs the same."""
    found = [name] if name else packaged_names()
    if found:
        return load_prior(found[0])
    return FlowPrior(FlowPriorConfig(ObservationSpec(image=(48, 48, 3)), action_dim=7))


def step_seconds(env: gym.Env[Any, Any], steps: int) -> float:
    """Seconds in `steps` random steps, without resets."""
    env.action_space.seed(0)
    seconds, ended = 0.0, True
    for _ in range(steps):
        if ended:
            env.reset()
        action = env.action_space.sample()
        started = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        seconds += time.perf_counter() - started
        ended = terminated or truncated
    return seconds


def measure(
    env: gym.Env[Any, Any], prior: ActionPrior, observation: AgentObservation, steps: int
) -> list[str]:
    """One row of the table; the first features of an episode are made in its first step."""
    wrapped = BehavioralPriorWrapper(env, prior, observation=observation)
    step_seconds(wrapped, 25)  # warm up
    stepping, features, decoding = CallClock(), CallClock(), CallClock()
    with (
        stepping.installed(env, ["step"]),
        features.installed(prior, ["features"]),
        decoding.installed(prior, ["decode_features"]),
    ):
        total = step_seconds(wrapped, steps)
    parts = [stepping.seconds, features.seconds, decoding.seconds]
    cells = [f"{1e6 * seconds / steps:.0f}" for seconds in (*parts, total - sum(parts), total)]
    return [observation, *cells, f"{total / stepping.seconds:.2f}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", default="ParrotGraspCup-v0")
    parser.add_argument("--prior", default=None, help="packaged name or folder")
    parser.add_argument("--steps", type=int, default=2_000)
    args = parser.parse_args(argv)
    prior, env = find_prior(args.prior), gym.make(args.env_id)
    env.reset(seed=0)
    rows = [measure(env, prior, seen, args.steps) for seen in get_args(AgentObservation)]
    env.close()
    parts = ["env.step us", "features us", "decode us", "wrapper us", "all us", "all / env.step"]
    print(markdown_table(["observation", *parts], rows))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
