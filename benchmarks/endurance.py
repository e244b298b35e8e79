"""Memory of one process over many resets and steps of one env: it should stay flat.

    python benchmarks/endurance.py
    python benchmarks/endurance.py --prior parrot-v0 --resets 40000 --steps 1000000

Episodes are those of random actions, `--steps` divided by `--resets` long. Resident memory is read
from `/proc`, so this runs on Linux only. What the first rows add is what is loaded when first
needed, as the shapes of all training objects are. With `--prior` the env is wrapped, the agent sees
the prior's features, and random latents are decoded; `--minutes` ends it early, after a last row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import BehavioralPriorWrapper

ROWS = 20


def resident_mb() -> float:
    """Resident memory of this process in MB of 10^6 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) * 1024 / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    """Play and print a row of the table now and then, while it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--env-id", default="ParrotMultiTask-v0")
    parser.add_argument("--resets", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--prior", default="", help="name or folder; nothing for the bare env")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    args = parser.parse_args(argv)
    if sys.platform != "linux":
        raise SystemExit("Resident memory is read from /proc, which only Linux has.")
    env: gym.Env[Any, Any] = gym.make(args.env_id)
    if args.prior:
        torch.set_num_threads(1)
        env = BehavioralPriorWrapper(env, args.prior, observation="features")
    env.action_space.seed(0)
    env.reset(seed=0)
    print("| resets | steps | resident MB | minutes |")
    print("|--------|-------|-------------|---------|")
    begun, steps = time.perf_counter(), 0
    for reset in range(1, args.resets + 1):
        env.reset()
        while steps * args.resets < args.steps * reset:
            env.step(env.action_space.sample())
            steps += 1
        minutes = (time.perf_counter() - begun) / 60
        late = minutes >= args.minutes
        if late or reset * ROWS // args.resets > (reset - 1) * ROWS // args.resets:
            print(f"| {reset:6} | {steps:6} | {resident_mb():.1f} | {minutes:.1f} |", flush=True)
        if late:
            break
    env.close()


if __name__ == "__main__":
    main()
