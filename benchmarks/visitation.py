"""Which target comes next, given the last two: of the data, and of priors with and without memory.

Priors see the point alone, not the goal. Samples of each act in `ParrotSequentialNavigation-v0`,
and every target that the point enters, other than the last one, counts as a visit.

    python benchmarks/visitation.py

takes a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import parrot_envs  # noqa: F401 - registers the ids
from parrot_envs.sequential_navigation import TARGET_RADIUS, TARGETS, next_target_probabilities
from parrot_wrapper import BehavioralPriorVectorWrapper
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.priors.trainable import prior_kind
from parrot_wrapper.record.expert_episodes import record_episode
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import training_config

ENV_ID = "ParrotSequentialNavigation-v0"
FLOW = {"hidden": 64, "hidden_layers": 2, "trunk_blocks": 0, "sees": ("proprio",)}
PRIORS: dict[str, tuple[str, dict[str, Any]]] = {
    "no memory": ("flow", FLOW),
    "the last step": ("memory", {**FLOW, "memory": "last", "last": 1}),
    "the last 16 steps": ("memory", {**FLOW, "memory": "last", "last": 16}),
    "recurrent": ("memory", {**FLOW, "memory": "gru"}),
}
ENVS = 20


def make() -> gym.Env[Any, Any]:
    """The env, with vectors by name."""
    return gym.make(ENV_ID, obs="keys")


def visits(places: np.ndarray[Any, Any]) -> list[int]:
    """Targets in the order in which a way (T, 2) enters them."""
    away = np.linalg.norm(places[:, None] - TARGETS, axis=2)
    entered = away.argmin(axis=1)[away.min(axis=1) < TARGET_RADIUS].tolist()
    return [t for t, before in zip(entered, [-1, *entered], strict=False) if t != before]


def sampled(prior: Any, steps: int, seed: int) -> list[list[int]]:
    """Visits of episodes in which the prior's noise is drawn anew at every step."""
    bare = SyncVectorEnv([make] * ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = BehavioralPriorVectorWrapper(bare, prior)
    observation, _ = envs.reset(seed=seed)
    envs.action_space.seed(seed)
    ways: list[list[Any]] = [[place] for place in observation["proprio"][:, :2]]
    done = []
    for _ in range(steps // ENVS):
        observation, _, _, over, _ = envs.step(envs.action_space.sample())
        for index, place in enumerate(observation["proprio"][:, :2]):
            if over[index]:
                done.append(visits(np.array(ways[index])))
                ways[index] = []
            ways[index].append(place.copy())
    return done


def row(name: str, orders: list[list[int]], nll: str = "") -> str:
    """Shares of the next target, as a row of a table."""
    counts = np.zeros((4, 4, 4))
    for order in orders:
        for triple in zip(order, order[1:], order[2:], strict=False):
            counts[triple] += 1
    pairs = [(b, t) for b in range(4) for t in range(4) if b != t]
    kinds = np.zeros(3)
    for before, last in pairs:
        chances = next_target_probabilities(before, last)
        likely, unlikely = int(chances.argmax()), int(np.argsort(chances)[-2])
        kinds += counts[before, last, [likely, unlikely, before]]
    shares = kinds / kinds.sum()
    given_last = counts.sum(axis=0)
    given_last = given_last / np.maximum(given_last.sum(axis=1, keepdims=True), 1)
    off = np.abs(given_last - (1 - np.eye(4)) / 3).max()
    told = " | ".join(f"{share:.3f}" for share in shares)
    return f"| {name} | {int(kinds.sum()):,} | {told} | {off:.3f} | {nll} |"


def main(argv: list[str] | None = None) -> None:
    """Record, train, sample, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=800)
    parser.add_argument("--train-steps", type=int, default=6_000)
    parser.add_argument("--sample-steps", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    env = make()
    data = EpisodeDataset.from_episodes(
        [record_episode(env, args.seed + index)[0] for index in range(args.episodes)]
    )
    places = [data.episode(i).observations["proprio"][:, :2] for i in range(data.n_episodes)]
    print("| | next targets | 0.9 | 0.1 | back | off a third | nats a step |")
    print("|---|---|---|---|---|---|---|")
    print(row("data", [visits(way) for way in places]), flush=True)
    for name, (kind, options) in PRIORS.items():
        started = time.perf_counter()
        made = prior_kind(kind)
        prior = made.for_data(data, seed=args.seed, **options)
        config = training_config(
            made, steps=args.train_steps, seed=args.seed, learning_rate=1e-3, patience=0,
            optimiser="adam", precision="float32", device="cpu", validate_every=500,
        )  # fmt: skip
        report = fit_prior(prior, data, config, progress=False)
        orders = sampled(prior, args.sample_steps, args.seed)
        print(row(name, orders, f"{report.validation_nll:.3f}"))
        print(f"<!-- {name}: {time.perf_counter() - started:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
