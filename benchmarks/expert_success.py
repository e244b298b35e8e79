"""How often the scripted expert succeeds: per id, object family and container.

    python benchmarks/expert_success.py

Success at the last step of seeded episodes, with the expert's usual noise. An object shares the
table with another of its pool; its own place, angle and container differ in each episode.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import gymnasium as gym
import numpy as np

import parrot_envs
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.env import ManipulationEnv
from parrot_envs.registration import EPISODE_STEPS
from parrot_envs.scene_sets import SceneSet
from parrot_envs.thing_library import pool_of_objects
from parrot_wrapper.evaluation.report import markdown_table

Kind: TypeAlias = Literal["grasp", "place"]
Table: TypeAlias = tuple[list[str], list[list[str]]]
KINDS: tuple[Kind, ...] = ("grasp", "place")


def success_rate(env: gym.Env[Any, Any], episodes: int) -> float:
    """Share of episodes whose last step succeeds, with the scripted expert; closes the env."""
    wins = 0
    for seed in range(episodes):
        env.reset(seed=seed)
        expert = env.unwrapped.make_expert(np.random.default_rng([seed, 1]))
        for _ in range(EPISODE_STEPS):
            *_, info = env.step(expert.act())
        wins += info["is_success"]
    env.close()
    return wins / episodes


def success(make: Callable[..., Any], arguments: tuple[Any, ...], episodes: int) -> float:
    """`success_rate` of an env that a worker process makes for itself."""
    return success_rate(make(*arguments), episodes)


def with_object(pool: str, kind: Kind, name: str) -> ManipulationEnv:
    """An env in which the object is the target."""
    containers = training_containers() if pool == "training" else novel_containers().values()
    return ManipulationEnv(SceneSet(pool, list(containers)), kind, name)


def with_container(name: str) -> ManipulationEnv:
    """An env in which any training object is placed in the container."""
    return ManipulationEnv(SceneSet("training", (name,), colors="random"), "place")


class Workers:
    """Measures many envs at once, in processes of their own."""

    def __init__(self, processes: int) -> None:
        """Start them."""
        self._pool = multiprocessing.get_context("spawn").Pool(processes)

    def rates(
        self, make: Callable[..., Any], several: Iterable[tuple[Any, ...]], episodes: int
    ) -> list[float]:
        """`success` for each tuple of arguments."""
        jobs = [(make, arguments, episodes) for arguments in several]
        return self._pool.starmap(success, jobs, chunksize=1)

    def close(self) -> None:
        """Stop them."""
        self._pool.close()
        self._pool.join()


def of_ids(workers: Workers, scale: float) -> Table:
    """One row for each registered id."""
    episodes = max(1, round(200 * scale))
    found = workers.rates(gym.make, [(env_id,) for env_id in parrot_envs.ENV_IDS], episodes)
    rows = [[f"`{i}`", f"{rate:.2f}"] for i, rate in zip(parrot_envs.ENV_IDS, found, strict=True)]
    return [f"id ({episodes} episodes each)", "success"], rows


def of_pool(pool: str) -> Callable[[Workers, float], Table]:
    """One row for each family of a pool: about as many episodes for each, with all its objects."""

    def of_families(workers: Workers, scale: float) -> Table:
        names = [thing.name for thing in pool_of_objects(pool)]
        members: dict[str, list[str]] = {}
        for name in names:
            members.setdefault(name.rsplit("-", 1)[0], []).append(name)
        rows = []
        for family, objects in members.items():
            episodes = max(1, round(max(2, 50 // len(objects)) * scale))
            jobs = [(pool, kind, name) for kind in KINDS for name in objects]
            grasp, place = np.split(np.array(workers.rates(with_object, jobs, episodes)), 2)
            row = [family, str(len(objects)), str(episodes * len(objects))]
            row += [f"{grasp.mean():.2f}", f"{place.mean():.2f}"]
            rows.append([*row, f"{np.count_nonzero(grasp)} of {len(objects)}"])
        header = ["objects", "episodes per task", "grasp", "place", "objects grasped at least once"]
        return [f"{pool} family", *header], rows

    return of_families


def of_containers(workers: Workers, scale: float) -> Table:
    """One row for each container."""
    episodes = max(1, round(60 * scale))
    names = [*(thing.name for thing in training_containers()), *novel_containers()]
    found = workers.rates(with_container, [(name,) for name in names], episodes)
    rows = [[name, f"{rate:.2f}"] for name, rate in zip(names, found, strict=True)]
    return [f"container ({episodes} episodes each)", "place any training object"], rows


TABLES: dict[str, Callable[[Workers, float], Table]] = {
    "ids": of_ids,
    "training": of_pool("training"),
    "novel": of_pool("novel"),
    "bullet": of_pool("bullet"),
    "containers": of_containers,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer episodes")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args(argv)
    workers = Workers(args.processes)
    for name in args.tables:
        print(markdown_table(*TABLES[name](workers, args.scale)), end="\n\n", flush=True)
    workers.close()


if __name__ == "__main__":
    main()
