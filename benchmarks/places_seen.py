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


def errors(features: np.ndarray, places: np.ndarray) -> list[float]:
    """Of the thing and of where it goes, cm, in the last third of the rows."""
    known = len(features) * 2 // 3
    x = (features - features[:known].mean(0)) / (features[:known].std(0) + 1e-3)
    x = x.clip(-5.0, 5.0)  # a slot that is seldom in use
    x = np.concatenate((x, np.ones((len(x), 1))), axis=1)
    gram = x[:known].T @ x[:known] + np.eye(x.shape[1])
    weights = np.linalg.solve(
        gram, np.einsum("nf,nld->fld", x[:known], places[:known]).reshape(len(gram), -1)
    )
    missed = (x[known:] @ weights).reshape(-1, *places.shape[1:]) - places[known:]
    return [100.0 * float(value) for value in np.sqrt((missed**2).sum(2).mean(0))]


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
