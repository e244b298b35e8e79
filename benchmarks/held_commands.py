"""Small commands for several machines, and whether their results are those of one process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gymnasium as gym
import held
from kill_scenarios import RL, without_clocks

from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from parrot_wrapper.types import ObservationSpec

ENV_ID = "ParrotSequentialNavigation-v0"
PARROT = (sys.executable, "-m", "parrot_wrapper")
PATIENCE = 1_500.0
"""Seconds for anything to happen."""


@dataclass(frozen=True)
class HeldCommand:
    """A command whose tasks can be made to wait in their middle.

    Attributes:
        words: The command without places, as it is called in the folder that has what it reads.
        places: Options of its places; `{}` is the name of the result.
        done: Pattern of files that are there when a part of it is done.
        same: Compares the results `far` and `near` in a folder: what they are, and whether they
            are the same.
    """

    words: tuple[str, ...]
    places: tuple[str, ...]
    done: str
    same: Callable[[Path], tuple[str, bool]]

    def making(self, name: str) -> tuple[str, ...]:
        """The command that makes a result of this name."""
        places = (place.format(name) for place in self.places)
        return (*self.words, *places, "--no-progress")

    def alone(self, name: str) -> tuple[str, ...]:
        """The same in one process."""
        return (*self.making(name), "--workers", "1")

    def in_part_done(self, folder: Path, name: str) -> bool:
        """Whether something of it is done."""
        return any(folder.glob(self.done.format(name)))


def held_collection(episodes: int, shard_attempts: int) -> HeldCommand:
    """A collection."""
    amount = ("--episodes", str(episodes), "--shard-attempts", str(shard_attempts))
    words = (*PARROT, "collect", "--env-id", held.ENV_ID, "--gym-packages", "held", *amount)
    return HeldCommand(words, ("--out", "{}"), "{}/shard-*.json", same_shards)


def held_study(folder: Path, seeds: int, env_steps: int) -> HeldCommand:
    """A grid with two runs a seed, which is written to `folder`."""
    grid = tiny_grid(folder / "prior", seeds=seeds, methods=("parrot", "sac"), env_steps=env_steps)
    grid = replace(grid, tasks=(held.ENV_ID,), gym_packages=("held",), prior="prior")
    (folder / "grid.json").write_text(json.dumps(grid.to_dict()))
    words = (*PARROT, "experiment", "--grid", "grid.json", "--device", "cpu")
    places = ("--out", "{}-rows", "--runs", "{}-runs")
    return HeldCommand(words, places, "{}-rows/rows.jsonl", same_rows)


def same_shards(folder: Path) -> tuple[str, bool]:
    """How many shards there are, and whether they are those of one process."""
    files = [sorted((folder / name).glob("shard-*")) for name in ("far", "near")]
    # who is many may have begun shards that turned out not to be needed
    same = all((folder / "far" / one.name).read_bytes() == one.read_bytes() for one in files[1])
    return f"{len(files[1]) // 2} shards", bool(files[1]) and same


def same_rows(folder: Path) -> tuple[str, bool]:
    """How many rows there are, and whether they are those of one process."""
    found = []
    for name in ("far", "near"):
        lines = (folder / f"{name}-rows" / "rows.jsonl").read_text().splitlines()
        found.append(sorted(json.dumps(without_clocks(json.loads(line))) for line in lines))
    return f"{len(found[0])} rows", found[0] == found[1]


def tiny_grid(prior: Path, *, seeds: int, methods: Sequence[str], env_steps: int) -> Grid:
    """Short runs of a point mass; their prior, which has learned nothing, is written to `prior`."""
    [size] = gym.make(ENV_ID, obs="state").observation_space.shape or ()
    FlowPrior(FlowPriorConfig(ObservationSpec(state=size), 2, "state")).save(prior)
    return Grid(
        "hosts", "tiny", (ENV_ID,), tuple(methods), rl_seeds=tuple(range(seeds)),
        env_kwargs={"obs": "state"}, prior=str(prior), env_steps=env_steps,
        evaluation_episodes=2, rl={**RL, "net_arch": [16]},
    )  # fmt: skip


def wait_for(what: Callable[[], object], name: str, running: subprocess.Popen[bytes]) -> None:
    """Wait until `what` finds something while a process runs."""
    end = time.monotonic() + PATIENCE
    while not what():
        if running.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"Waited in vain for {name}; the command: {running.poll()}.")
        time.sleep(0.05)
