"""What priors know of the box task: what they lack in nats, what their samples do, and which side.

The first table has flow priors that see more and more of `ParrotMoveBox-v0`: held-out nats a step,
and what samples do. The second has the box at one place, where both ways around it are as short:
Gaussian priors with and without a latent that is held, and on which side their samples pass.

    python benchmarks/box_priors.py --picture runs/paths.png

takes five minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import parrot_envs  # noqa: F401 - registers the ids
from parrot_wrapper import BehavioralPriorVectorWrapper, BehavioralPriorWrapper, fit_prior
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.priors.trainable import prior_kind
from parrot_wrapper.record.expert_episodes import record_episode
from parrot_wrapper.training.prior_config import training_config

SIGHT = {
    "proprio": ("proprio",),
    "+ box": ("proprio", "box"),
    "+ targets": ("proprio", "box", "targets"),
    "+ task (all)": ("proprio", "box", "targets", "task"),
}
FLOW = {"hidden": 64, "coupling": "spline", "coupling_layers": 3}
NEAR = ("proprio", "box")
HELD: dict[str, dict[str, Any]] = {
    # so heavy a price that nothing is told by the latent: a Gaussian for each step
    "Gaussian": {"horizon": 16, "beta": 1e4},
    "latent held for 16 steps": {"horizon": 16},
}
ENVS, STEPS = 25, 100


def make(layout: str = "random") -> gym.Env[Any, Any]:
    """The env, with vectors by name."""
    return gym.make("ParrotMoveBox-v0", obs="keys", layout=layout)


def recorded(layout: str, episodes: int, seed: int) -> EpisodeDataset:
    """Episodes of the expert."""
    env = make(layout)
    return EpisodeDataset.from_episodes(
        [record_episode(env, seed + index)[0] for index in range(episodes)]
    )


def trained(kind: str, data: EpisodeDataset, steps: int, seed: int, **options: Any) -> Any:
    """A prior, and its report."""
    made = prior_kind(kind)
    prior = made.for_data(data, seed=seed, **options)
    config = training_config(
        made, steps=steps, seed=seed, learning_rate=1e-3, patience=0, precision="float32",
        device="cpu", validate_every=500,
    )  # fmt: skip
    return prior, fit_prior(prior, data, config, progress=False)


def sampled(prior: Any, episodes: int, seed: int) -> tuple[Any, Any]:
    """Successes and placed boxes (B,) at the end of episodes of samples."""
    bare = SyncVectorEnv([make] * ENVS, autoreset_mode=AutoresetMode.DISABLED)
    envs = BehavioralPriorVectorWrapper(bare, prior)
    envs.action_space.seed(seed)
    won, placed = [], []
    for first in range(0, episodes, ENVS):
        envs.reset(seed=seed + first)
        for _ in range(STEPS):
            *_, info = envs.step(envs.action_space.sample())
        won.append(info["is_success"])
        placed.append(info["box_placed"])
    return np.concatenate(won), np.concatenate(placed)


class Tracked(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the way of each episode."""

    def reset(self, **options: Any) -> Any:
        """Begin a way."""
        told = self.env.reset(**options)
        self.way = [self.unwrapped.position]  # type: ignore[attr-defined]
        return told

    def step(self, action: Any) -> Any:
        """Add to it."""
        told = self.env.step(action)
        self.way.append(self.unwrapped.position)  # type: ignore[attr-defined]
        return told


def tracked(prior: Any, episodes: int, seed: int) -> Any:
    """Places (T, B, 2) of the point in episodes of samples, at the fixed layout."""
    inner = Tracked(make("fixed"))
    env = BehavioralPriorWrapper(inner, prior)
    env.action_space.seed(seed)
    ways = []
    for index in range(episodes):
        env.reset(seed=seed + index)
        over = False
        while not over:
            _, _, _, over, _ = env.step(env.action_space.sample())
        ways.append(inner.way)
    return np.stack(ways, axis=1)


def sides(ways: Any) -> tuple[float, float, float]:
    """Shares of ways (T, B, 2) that pass the box at 0 on the left, on the right, and not at all."""
    beside = np.abs(ways[..., 1]) < 0.05
    passed, first = beside.any(axis=0), beside.argmax(axis=0)
    left = ways[first, np.arange(ways.shape[1]), 0] < 0.0
    return float((passed & left).mean()), float((passed & ~left).mean()), float((~passed).mean())


def main(argv: list[str] | None = None) -> None:
    """Record, train, sample, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=800)
    parser.add_argument("--train-steps", type=int, default=4_000)
    parser.add_argument("--sampled", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args(argv)
    data = recorded("random", args.episodes, args.seed)
    print("| the prior sees | nats a step | box placed | success |\n|---|---|---|---|", flush=True)
    for name, sees in SIGHT.items():
        prior, report = trained("flow", data, args.train_steps, args.seed, sees=sees, **FLOW)
        won, placed = sampled(prior, args.sampled, args.seed + 10**6)
        told = f"{report.validation_nll:.2f} | {placed.mean():.2f} | {won.mean():.2f}"
        print(f"| {name} | {told} |", flush=True)
    data = recorded("fixed", args.episodes // 4, args.seed)
    print("\n| prior | left | right | not past it |\n|---|---|---|---|")
    offsets = [data.obs_offsets + step for step in range(STEPS + 1)]
    found = {"expert": data.observations["proprio"][np.stack(offsets), :2]}
    for name, options in HELD.items():
        prior, _ = trained(
            "latent-variable", data, args.train_steps, args.seed, sees=NEAR, **options
        )
        found[name] = tracked(prior, args.sampled // 2, args.seed)
    for name, ways in found.items():
        print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in sides(ways)) + " |")
    if args.picture:
        draw(found, args.picture)


def draw(found: dict[str, Any], path: Path) -> None:
    """The first 40 steps of 60 ways of each."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(3.2 * len(found), 3.2), squeeze=False)
    for axis, (name, ways) in zip(axes[0], found.items(), strict=True):
        axis.plot(ways[:40, :60, 0], ways[:40, :60, 1], color="#0072b2", lw=0.6, alpha=0.6)
        axis.add_patch(plt.Rectangle((-0.1, -0.1), 0.2, 0.2, color="#e69f00"))
        axis.set(title=name, xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect="equal")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
