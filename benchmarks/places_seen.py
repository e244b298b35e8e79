"""How exactly features tell where the things of the paper's place tasks are, in cm.

    python benchmarks/places_seen.py parrot-v0 runs/prior/prior

A ridge regression from a prior's features to the true place on the table of the thing and of the
place it goes to, in images on an expert's way to the thing. Things are new to the prior. The error
is a root mean square over episodes that the regression has not seen. It needs seconds, and no RL.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import gymnasium as gym
import numpy as np

import parrot_envs  # noqa: F401
from parrot_wrapper import load_prior
from parrot_wrapper.evaluation.regression import fit_ridge, held_out_rows
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.experiments.studies import PLACE_TASKS

LOOKS = (0, 2, 4, 7)
"""Steps of an episode at which it is looked."""


def seen(task: str, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 48, 48, 3), and places (N, 2, 2) in metres of the thing and where it goes."""
    env, rng = gym.make(task).unwrapped, np.random.default_rng(0)
    images, places = [], []
    for episode in range(episodes):
        image, _ = env.reset(seed=episode)
        expert = env.make_expert(rng, 0.1)
        for step in range(max(LOOKS) + 1):
            if step in LOOKS:
                images.append(image)
                places.append(env.privileged_labels()["landmarks"][[0, -1], :2])
            image = env.step(expert.act())[0]
    env.close()
    return np.stack(images), np.stack(places)


def errors(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of the thing and of where it goes (2,), cm, in held-out episodes."""
    held_out = held_out_rows(np.arange(len(features)) // len(LOOKS))
    known = features[~held_out]
    # a slot that is seldom in use would throw the regression far off
    x = ((features - known.mean(0)) / (known.std(0) + 1e-3)).clip(-5.0, 5.0)
    found = fit_ridge(x, places.reshape(len(places), -1), held_out)
    return 100.0 * np.hypot(*found.rmse.reshape(-1, 2).T)


def main(args: Sequence[str] | None = None) -> None:
    """Print a row for each prior."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("priors", nargs="+", help="packaged names or folders")
    parser.add_argument("--episodes", type=int, default=250, help="of each task")
    options = parser.parse_args(args)
    looks = [seen(task, options.episodes) for task in PLACE_TASKS]
    rows = []
    for name in options.priors:
        prior = load_prior(name)
        found = [errors(prior.features(images), places) for images, places in looks]
        cells = [f"{thing:.2f}, {place:.2f}" for thing, place in [*found, np.mean(found, axis=0)]]
        rows.append([f"`{name}`", *cells])
    tasks = [task.removeprefix("ParrotPlace").removesuffix("-v0") for task in PLACE_TASKS]
    print(markdown_table(["prior", *tasks, "mean"], rows))


if __name__ == "__main__":
    main()
