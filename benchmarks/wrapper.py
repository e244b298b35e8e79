"""What `BehavioralPriorWrapper` and its twins cost, beside the env's step and the prior's passes.

    python benchmarks/wrapper.py

One core, one torch thread, CPU time, random latents. In the first table a clock runs around the
env's `step` and the prior's two passes: features of the new observation, and decoding a latent.
What is left is the wrapper's own: checks, chart, clipping, copies. *Added* is all but the env's
step; *bare* is encoder and flow alone, on tensors, as the modules have them and as they are folded
for acting. Resets are not counted.

The second table steps N envs at once: the env steps of plain vector envs, and of those with a twin
around them, beside those of one env with `BehavioralPriorWrapper`, in turns; medians, and medians
of the ratios. Resets are counted, and so are the last observations of episodes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

import gymnasium as gym
import numpy as np
import torch
from call_clock import CallClock
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    FlowPrior,
    FlowPriorConfig,
    ObservationSpec,
)
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.priors.encoders import ActingEncoder, for_acting
from parrot_wrapper.priors.folded_couplings import FoldedCouplings
from parrot_wrapper.priors.loading import load_prior, packaged_names
from parrot_wrapper.types import ActionPrior
from parrot_wrapper.wrappers.spaces import AgentObservation


def find_prior(name: str | None) -> ActionPrior:
    """The named prior, else a packaged one, else an untrained one, which costs the same."""
    found = [name] if name else packaged_names()
    if found:
        return load_prior(found[0])
    return FlowPrior(FlowPriorConfig(ObservationSpec(image=(48, 48, 3)), action_dim=7))


def step_seconds(
    env: gym.Env[Any, Any], steps: int, clocks: Sequence[CallClock] = ()
) -> list[float]:
    """Seconds of a random step, and what the clocks say of it; resets are left out."""
    total, parts, ended = 0.0, [0.0] * len(clocks), True
    for _ in range(steps):
        if ended:
            env.reset()
        action = env.action_space.sample()
        before = [clock.seconds for clock in clocks]
        started = time.thread_time()
        _, _, terminated, truncated, _ = env.step(action)
        total += time.thread_time() - started
        parts = [
            part + clock.seconds - earlier
            for part, clock, earlier in zip(parts, clocks, before, strict=True)
        ]
        ended = terminated or truncated
    return [seconds / steps for seconds in (total, *parts)]


def bare_seconds(env: gym.Env[Any, Any], prior: FlowPrior, calls: int) -> list[float]:
    """Seconds of encoder and flow on one image: the modules', and folded for acting.

    Between passes the env steps, as it does when acting: it leaves little of the weights in the
    processor's caches.
    """
    image = torch.zeros(1, *(prior.observation_spec.image or ()), dtype=torch.uint8)
    latent = torch.zeros(1, prior.latent_dim)
    forms: list[tuple[ActingEncoder, Any]] = [
        (prior.encoder, prior.flow),
        (for_acting(prior.encoder), FoldedCouplings(prior.flow)),
    ]
    seconds = [0.0, 0.0]
    for call in range(calls):
        for index, (encoder, flow) in enumerate(forms):
            if call % 10 == 0:
                env.reset()
            env.step(env.action_space.sample())
            started = time.thread_time()
            flow.decode(latent, encoder.context(encoder({"image": image})))
            seconds[index] += time.thread_time() - started
    return [total / calls for total in seconds]


def measure(
    env: gym.Env[Any, Any], prior: FlowPrior, observation: AgentObservation, steps: int, rounds: int
) -> list[str]:
    """One row of the first table; the first features of an episode are made in its first step."""
    wrapped = BehavioralPriorWrapper(env, prior, observation=observation)
    step_seconds(wrapped, 25)  # warm up
    measured: list[list[float]] = []
    for _ in range(rounds):
        clocks = [CallClock(time.thread_time) for _ in range(3)]
        stepping, features, decoding = clocks
        with (
            stepping.installed(env, ["step"]),
            features.installed(prior, ["features"]),
            decoding.installed(prior, ["decode_features"]),
        ):
            total, *parts = step_seconds(wrapped, max(steps // rounds, 1), clocks)
        with torch.inference_mode():
            modules, folded = bare_seconds(env, prior, max(steps // rounds // 4, 1))
        added = total - parts[0]
        ratios = [added / bare for bare in (parts[0], modules, folded)]
        measured.append([*parts, total - sum(parts), total, *ratios])
    medians = np.median(measured, axis=0)
    cells = [f"{1e6 * seconds:.0f}" for seconds in medians[:5]]
    return [observation, *cells, *(f"{ratio:.2f}" for ratio in medians[5:])]


def per_env_step(step: Callable[[Any], Any], action: Any, steps: int, envs: int) -> float:
    """CPU microseconds of an env step."""
    started = time.thread_time()
    for _ in range(steps):
        step(action)
    return 1e6 * (time.thread_time() - started) / steps / envs


def stepper(env: gym.Env[Any, Any]) -> Callable[[Any], Any]:
    """Step one env, and reset it after an episode."""

    def step(action: Any) -> None:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    env.reset(seed=0)
    return step


def measure_many(
    env_id: str,
    prior: FlowPrior,
    observation: AgentObservation,
    *,
    envs: int,
    steps: int,
    rounds: int,
) -> list[str]:
    """One row of the second table; each way takes `steps` env steps or more, in several rounds."""
    make = [lambda: gym.make(env_id)] * envs
    same_step = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
    dummy = DummyVecEnv(make)
    alone = gym.make(env_id)
    kept = {"observation": observation}
    ways: list[tuple[Callable[[Any], Any], int]] = [
        (stepper(alone), 1),
        (stepper(BehavioralPriorWrapper(alone, prior, **kept)), 1),
        (same_step.step, envs),
        (BehavioralPriorVectorWrapper(same_step, prior, **kept).step, envs),
        (dummy.step, envs),
        (BehavioralPriorVecWrapper(dummy, prior, **kept).step, envs),
    ]
    for way, _ in ways[2:]:
        cast("Any", way).__self__.reset()
    actions = [np.zeros((7,) if size == 1 and index < 2 else (size, 7), np.float32)
               for index, (_, size) in enumerate(ways)]  # fmt: skip
    measured = [
        [
            per_env_step(way, action, max(steps // rounds // size, 2), size)
            for (way, size), action in zip(ways, actions, strict=True)
        ]
        for _ in range(rounds + 1)
    ][1:]  # the first warms up
    bare, one, plain, vector, plain_sb3, sb3 = np.transpose(measured)
    for env in (same_step, dummy, alone):
        env.close()
    return [
        str(envs),
        observation,
        *(f"{np.median(times):.0f}" for times in (one, vector, sb3)),
        *(f"{np.median(times / one):.2f}" for times in (vector, sb3)),
        *(
            f"{np.median((whole - env) / env):.2f}"
            for whole, env in ((one, bare), (vector, plain), (sb3, plain_sb3))
        ),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", default="ParrotGraspCup-v0")
    parser.add_argument("--prior", default=None, help="packaged name or folder")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=20, help="parts, of which medians are told")
    parser.add_argument("--envs", type=int, nargs="*", default=[1, 4, 16, 64])
    args = parser.parse_args(argv)
    prior, env = find_prior(args.prior), gym.make(args.env_id)
    if not isinstance(prior, FlowPrior):
        parser.error("expected a flow prior")
    env.reset(seed=0)
    seen = get_args(AgentObservation)
    rows = [measure(env, prior, observation, args.steps, args.rounds) for observation in seen]
    env.close()
    parts = ["env.step us", "features us", "decode us", "wrapper us", "all us"]
    ratios = ["added / env.step", "added / bare modules", "added / bare folded"]
    print(markdown_table(["observation", *parts, *ratios], rows), end="\n\n")
    rows = [
        measure_many(
            args.env_id, prior, observation, envs=envs, steps=args.steps, rounds=args.rounds
        )
        for envs in args.envs
        for observation in seen[:2]
    ]
    each = ["one env us", "vector us", "VecEnv us", "vector / one", "VecEnv / one"]
    added = ["one: added / env", "vector: added / env", "VecEnv: added / env"]
    print(markdown_table(["envs", "observation", *each, *added], rows))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
