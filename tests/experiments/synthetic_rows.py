"""Result rows as experiments write them, made up: each method learns in its own way."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

TASKS = (
    "ParrotGraspBar-v0",
    "ParrotPlaceCanInPan-v0",
    "ParrotGraspSculpture-v0",
    "ParrotPlaceSculptureInBasket-v0",
    "ParrotPlaceChairOnCheckerboard-v0",
    "ParrotGraspCup-v0",
    "ParrotGraspCap-v0",
    "ParrotPlaceCapOnBlock-v0",
)
METHODS = {  # success at the start and at the end, env steps at half of the way
    "parrot": (0.25, 0.94, 7_000),
    "sac": (0.0, 0.0, 20_000),
    "bc-sac": (0.05, 0.35, 14_000),
    "vae-features": (0.0, 0.01, 20_000),
    "trajrl": (0.06, 0.2, 6_000),
    "hirl": (0.2, 0.55, 9_000),
    "prior-explore": (0.0, 0.45, 16_000),
}
STEPS = 25_000


def share(value: float, episodes: int = 100) -> dict[str, Any]:
    half = 1.96 * math.sqrt(value * (1 - value) / episodes) + 0.01
    return {
        "value": value,
        "low": max(0.0, value - half),
        "high": min(1.0, value + half),
        "episodes": episodes,
    }


def row(
    task: str, method: str, rl_seed: int, *, strength: float = 1.0, **facts: Any
) -> dict[str, Any]:
    start, end, half = METHODS[method.partition("+")[0]]
    rng = np.random.default_rng([sum(map(ord, f"{task}{method}{facts}")), rl_seed])
    end = float(np.clip((end + rng.normal(0, 0.04) * (end > 0.02)) * strength, 0, 1))
    half *= float(rng.uniform(0.7, 1.3))
    curve = []
    for step in range(1_000, STEPS + 1, 1_000):
        rate = min(start, end) + (end - min(start, end)) / (1 + math.exp((half - step) / 1_800))
        curve.append([step, round(float(rng.binomial(40, min(rate, 1.0)) / 40), 4)])
    success = round(float(rng.binomial(100, end)) / 100, 4)
    raw = method in ("sac", "bc-sac", "prior-explore", "vae-features")
    raw_actions = {
        "kind": "raw",
        "explore": 0.9 if method == "prior-explore" else 0.0,
        "initial_actor": "artifacts/bc" if method == "bc-sac" else None,
    }
    config = {
        "env_id": task,
        "env_kwargs": {"obs": "image_proprio"},
        "prior": {"hirl": "artifacts/hirl", "trajrl": "artifacts/trajrl"}.get(method, "parrot-v0"),
        "raw_actions": raw_actions if raw else None,
        "observation": "features",
        "kl": 5.0,
        "gamma": 0.95,
        "net_arch": [256, 256],
        "total_steps": STEPS,
        "seed": rl_seed,
    }
    return {
        "format": 1,
        "grid": "main",
        "setting": "laptop",
        "task": task,
        "method": method,
        "prior_seed": 0,
        "rl_seed": rl_seed,
        "data_episodes": 30_000,
        "labels": {},
        "config": config,
        "versions": {"parrot-wrapper": "0.1.0", "stable-baselines3": "2.9.2", "torch": "2.13.0"},
        "machine": {"cpu_count": 2, "torch_threads": 1, "processor": "x86_64"},
        "env_steps": STEPS,
        "success": share(success),
        "success_once": share(min(1.0, success + 0.02)),
        "curve": curve,
        "wall_seconds": float(rng.uniform(420, 520)) * (0.8 if raw else 1.0),
        "finished": "2026-11-21T18:00:00+00:00",
        **facts,
    }


def main_rows(seeds: int = 3, tasks: tuple[str, ...] = TASKS) -> Iterator[dict[str, Any]]:
    for seed in range(seeds):
        for method in METHODS:
            for task in tasks:
                strength = 0.7 if "Place" in task and method != "parrot" else 1.0
                data = None if method == "sac" else 30_000
                yield row(task, method, seed, strength=strength, data_episodes=data)


def data_size_rows(seeds: int = 3) -> Iterator[dict[str, Any]]:
    tasks = [task for task in TASKS if "Grasp" in task]
    for seed in range(seeds):
        for task in tasks:
            for episodes, strength in [(5_000, 0.6), (10_000, 0.85), (25_000, 0.97), (50_000, 1.0)]:
                facts = {"grid": "data-size", "data_episodes": episodes}
                yield row(task, "parrot", seed, strength=strength, **facts)
            yield row(task, "sac", seed, grid="data-size", data_episodes=None)


def mismatched_rows(seeds: int = 3, tasks: tuple[str, ...] = TASKS) -> Iterator[dict[str, Any]]:
    for seed in range(seeds):
        for task in tasks:
            place = "Place" in task
            for data in ("both", "grasp-only", "place-only"):
                strength = 0.03 if place and data == "grasp-only" else 0.95
                labels = {"prior_data": data}
                yield row(task, "parrot", seed, strength=strength, grid="mismatch", labels=labels)
            if place:
                facts = {"grid": "mismatch", "labels": {"prior_data": "grasp-only"}}
                yield row(task, "parrot+remedy", seed, strength=0.6, **facts)


def agent_rows(seeds: int = 2, tasks: tuple[str, ...] = TASKS[4:6]) -> Iterator[dict[str, Any]]:
    """Too many variants for one drawing."""
    for seed in range(seeds):
        for task in tasks:
            yield row(task, "parrot", seed, grid="agent")
            for number in range(7):
                yield row(task, f"parrot+a-setting-{number}", seed, strength=0.9, grid="agent")


def exploration_rows(tasks: tuple[str, ...] = TASKS) -> Iterator[dict[str, Any]]:
    shares = {
        "uniform": (0.0, 0.0, 0.0),
        "parrot": (0.79, 0.4, 0.25),
        "hirl": (0.66, 0.3, 0.2),
        "trajrl": (0.2, 0.08, 0.04),
    }
    for task in tasks:
        for method, (lifted, placed, success) in shares.items():
            told = row(task, "parrot", 0, grid="exploration")
            for key in ("config", "env_steps", "curve", "success"):
                del told[key]  # what runs without RL do not have
            yield {
                **told,
                "method": method,
                "success_once": share(success),
                "lifted": share(lifted),
                "placed": share(placed),
            }


def write_rows(folder: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(entry) for entry in rows]
    name = "exploration.jsonl" if '"lifted"' in lines[0] else "rows.jsonl"
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder
