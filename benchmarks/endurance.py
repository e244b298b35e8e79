"""Memory of one process over many resets and steps of one env: it should stay flat.

    python benchmarks/endurance.py
    python benchmarks/endurance.py --prior parrot-v0 --resets 40000 --steps 1000000
    python benchmarks/endurance.py --prior parrot-v0 --envs 4 --steps 1000000

Episodes are those of random actions, `--steps` divided by `--resets` long. Resident memory is read
from `/proc`, so this runs on Linux only. What the first rows add is what is loaded when first
needed, as the shapes of all training objects are. With `--prior` the env is wrapped, the agent sees
the prior's features, and random latents are decoded; with `--envs` those of so many envs in
one call, whose episodes are as long as the env says. Resets and steps count all of them together.
`--minutes` ends it early, after a last row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import BehavioralPriorVecWrapper, BehavioralPriorWrapper

ROWS = 20


def resident_mb() -> float:
    """Resident memory of this process in MB of 10^6 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) * 1024 / 1e6


def play_one(env_id: str, prior: str, resets: int, steps: int) -> Iterator[tuple[int, int]]:
    """Play one env; yields resets and steps so far, after each episode."""
    env: gym.Env[Any, Any] = gym.make(env_id)
    if prior:
        env = BehavioralPriorWrapper(env, prior, observation="features")
    env.action_space.seed(0)
    env.reset(seed=0)
    taken = 0
    for reset in range(1, resets + 1):
        env.reset()
        while taken * resets < steps * reset:
            env.step(env.action_space.sample())
            taken += 1
        yield reset, taken
    env.close()


def play_several(env_id: str, prior: str, envs: int, steps: int) -> Iterator[tuple[int, int]]:
    """Play several envs behind one wrapper; yields resets and steps so far, after each call."""
    bare = DummyVecEnv([partial(gym.make, env_id)] * envs)
    wrapped = BehavioralPriorVecWrapper(bare, prior, observation="features")
    space = wrapped.action_space
    space.seed(0)
    wrapped.seed(0)
    wrapped.reset()
    resets = envs
    for taken in range(envs, steps + envs, envs):
        _, _, dones, _ = wrapped.step(np.stack([space.sample() for _ in range(envs)]))
        resets += int(dones.sum())
        yield resets, taken
    wrapped.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Play and print a row of the table now and then, while it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", default="ParrotMultiTask-v0")
    parser.add_argument("--resets", type=int, default=20_000, help="of one env")
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--prior", default="", help="name or folder; nothing for the bare env")
    parser.add_argument("--envs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    args = parser.parse_args(argv)
    if sys.platform != "linux":
        raise SystemExit("Resident memory is read from /proc, which only Linux has.")
    if args.envs > 1 and not args.prior:
        raise SystemExit("--envs needs --prior: bare envs have nothing in common.")
    torch.set_num_threads(1)
    playing = (
        play_several(args.env_id, args.prior, args.envs, args.steps)
        if args.envs > 1
        else play_one(args.env_id, args.prior, args.resets, args.steps)
    )
    print("| resets | steps | resident MB | minutes |")
    print("|--------|-------|-------------|---------|")
    begun, rows = time.perf_counter(), 0
    for resets, steps in playing:
        minutes = (time.perf_counter() - begun) / 60
        late = minutes >= args.minutes
        if late or steps * ROWS // args.steps > rows:
            rows = steps * ROWS // args.steps
            print(f"| {resets:6} | {steps:6} | {resident_mb():.1f} | {minutes:.1f} |", flush=True)
        if late:
            break


if __name__ == "__main__":
    main()
