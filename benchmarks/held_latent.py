"""Which way around a box: samples of Gaussian priors with and without a latent that is held.

The box stands at one place of `ParrotMoveBox-v0`, where both ways around it are as short, and the
expert takes each half of the time. The priors see the point and the box.

    python benchmarks/held_latent.py --picture runs/paths.png

takes three minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import parrot_envs  # noqa: F401 - registers the ids
from parrot_wrapper import BehavioralPriorWrapper, fit_prior
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.priors.latent_variable import LatentVariablePrior
from parrot_wrapper.record.expert_episodes import record_episode
from parrot_wrapper.training.prior_config import training_config

NEAR = ("proprio", "box")
HELD: dict[str, dict[str, Any]] = {
    # so heavy a price that nothing is told by the latent: a Gaussian for each step
    "Gaussian": {"horizon": 16, "beta": 1e4},
    "latent held for 16 steps": {"horizon": 16},
}
STEPS = 100
HALF_WAY, BETWEEN = -0.4, 0.1
"""Height at which ways are looked at, and how far from the middle one of the expert is at least."""


def make() -> gym.Env[Any, Any]:
    """The env, with vectors by name."""
    return gym.make("ParrotMoveBox-v0", obs="keys", layout="fixed")


def trained(data: EpisodeDataset, steps: int, seed: int, **options: Any) -> LatentVariablePrior:
    """A prior of the data."""
    prior = LatentVariablePrior.for_data(data, seed=seed, sees=NEAR, **options)
    config = training_config(
        LatentVariablePrior, steps=steps, seed=seed, learning_rate=1e-3, patience=0,
        optimiser="adam", precision="float32", device="cpu", validate_every=500,
    )  # fmt: skip
    fit_prior(prior, data, config, progress=False)
    return prior


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
    """Places (T, B, 2) of the point in episodes of samples."""
    inner = Tracked(make())
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


def sides(ways: Any) -> tuple[float, ...]:
    """Shares of ways (T, B, 2) that are left, right and between where they are half way up.

    Between is straight towards the box, where the expert never goes.
    """
    half_way = (ways[..., 1] > HALF_WAY).argmax(axis=0)
    across = ways[half_way, np.arange(ways.shape[1]), 0]
    between = np.abs(across) < BETWEEN
    return tuple(
        float(part.mean()) for part in (~between & (across < 0), ~between & (across > 0), between)
    )


def main(argv: list[str] | None = None) -> None:
    """Record, train, sample, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--train-steps", type=int, default=3_000)
    parser.add_argument("--sampled", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args(argv)
    env = make()
    data = EpisodeDataset.from_episodes(
        [record_episode(env, args.seed + index)[0] for index in range(args.episodes)]
    )
    offsets = [data.obs_offsets + step for step in range(STEPS + 1)]
    found = {"expert": data.observations["proprio"][np.stack(offsets), :2]}
    for name, options in HELD.items():
        prior = trained(data, args.train_steps, args.seed, **options)
        found[name] = tracked(prior, args.sampled, args.seed)
    print("| | left | right | between |\n|---|---|---|---|")
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
