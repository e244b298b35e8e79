"""Steps per second of one env in many worker processes. Used by `envs.py --workers`.

Two ways, as they differ: processes that play on their own, as in collecting data, and Gymnasium's
`AsyncVectorEnv`, in which all wait for the slowest at every step, as RL does.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

import gymnasium as gym

_START_TIMEOUT = 300.0


def play_alone(env_id: str, seconds: float, started: Barrier, counts: Any) -> None:
    """Play random episodes for some seconds after all workers are ready; resets included."""
    import parrot_envs  # noqa: F401  # registers the ids

    env = gym.make(env_id)
    env.reset(seed=os.getpid())
    started.wait(_START_TIMEOUT)
    steps, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            env.reset()
    counts.put(steps)
    env.close()


def alone(env_id: str, workers: int, seconds: float) -> float:
    """Steps per second of independent processes."""
    context = multiprocessing.get_context("spawn")
    started, counts = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=play_alone, args=(env_id, seconds, started, counts))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    total = sum(counts.get(timeout=_START_TIMEOUT + seconds) for _ in processes)
    for process in processes:
        process.join()
    return total / seconds


def in_step(env_id: str, workers: int, seconds: float) -> float:
    """Steps per second of one `AsyncVectorEnv`, counting those of all its envs."""
    envs = gym.make_vec(
        env_id, num_envs=workers, vectorization_mode="async", vector_kwargs={"context": "spawn"}
    )
    envs.reset(seed=0)
    steps, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        envs.step(envs.action_space.sample())
        steps += workers
    envs.close()
    return steps / elapsed


def workers_table(env_id: str, numbers: Sequence[int], seconds: float) -> list[list[str]]:
    """Header and rows: steps per second of each number of workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        [f"workers on {cores} cores", "steps/s, each alone", "steps/s, AsyncVectorEnv"],
        *(
            [
                str(workers),
                f"{alone(env_id, workers, seconds):.0f}",
                f"{in_step(env_id, workers, seconds):.0f}",
            ]
            for workers in numbers
        ),
    ]
