"""Works in other processes after torch ran on two threads; `test_torch_threads.py` runs this."""

import multiprocessing
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.vec_env import SubprocVecEnv
from torch.utils.data import DataLoader

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    FlowPrior,
    FlowPriorConfig,
    ObservationSpec,
    load_prior,
)
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from tests.helpers import EchoEnv

Make = Callable[[], gym.Env[Any, Any]]
DIM = 64


class ImageEnv(EchoEnv):
    """Random images of the packaged prior's size."""

    def __init__(self) -> None:
        super().__init__(action_dim=7)
        self.observation_space = gym.spaces.Box(0, 255, (48, 48, 3), np.uint8)


def wrapped(**options: Any) -> BehavioralPriorWrapper:
    return BehavioralPriorWrapper(ImageEnv(**options), "parrot-v0", observation="features")


def on_threads() -> None:
    """What enters parallel regions of OpenMP, MKL and oneDNN."""
    torch.randn(1_000_000).sin().sum()
    (torch.randn(600, 600) @ torch.randn(600, 600)).sum()
    torch.nn.functional.conv2d(torch.randn(16, 3, 48, 48), torch.randn(32, 3, 3, 3))
    load_prior("parrot-v0").features(np.zeros((64, 48, 48, 3), np.uint8))


def steps(env: gym.Env[Any, Any]) -> None:
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(7, np.float32))


def gymnasium_steps(
    context: str, make: Make = wrapped, *, count: int = 2, twin: bool = False
) -> None:
    envs: Any = AsyncVectorEnv([make] * count, context=context)
    if twin:
        envs = BehavioralPriorVectorWrapper(envs, "parrot-v0")
    envs.reset(seed=0)
    for _ in range(3):
        envs.step(np.zeros((count, 7), np.float32))
    envs.close()


def make_vec_steps() -> None:
    gym.register("ForkedImages-v0", ImageEnv)
    wrap = partial(BehavioralPriorWrapper, prior="parrot-v0", observation="features")
    envs = gym.make_vec("ForkedImages-v0", 2, vectorization_mode="async", wrappers=[wrap])
    envs.reset(seed=0)
    envs.step(np.zeros((2, 7), np.float32))
    envs.close()


def sb3_steps(context: str, make: Make = wrapped, *, twin: bool = False) -> None:
    envs: Any = SubprocVecEnv([make, make], start_method=context)
    if twin:
        envs = BehavioralPriorVecWrapper(envs, "parrot-v0")
    envs.reset()
    for _ in range(3):
        envs.step(np.zeros((2, 7), np.float32))
    envs.close()


def in_fork(*works: Callable[[], Any]) -> None:
    """Each in a process of its own, side by side."""
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def from_a_thread() -> None:
    def fork() -> None:
        on_threads()
        in_fork(on_threads)

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()


def fit() -> None:
    config = FlowPriorConfig(ObservationSpec(state=DIM), action_dim=1, encoder="state")
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (200, 1))
    data = EpisodeDataset.from_arrays(rng.normal(size=(210, DIM)), actions, [20] * 10)
    settings = PriorTrainingConfig(
        steps=2, batch_size=64, validation_batches=1, threads=2, device="cpu"
    )
    fit_prior(FlowPrior(config), data, settings, progress=False)


def load() -> None:
    prior = load_prior("parrot-v0")
    images: Any = [np.zeros((48, 48, 3), np.uint8)] * 128
    loader: Any = DataLoader(
        images,
        batch_size=64,
        num_workers=1,
        collate_fn=lambda rows: prior.features(np.stack(rows)),
        multiprocessing_context="fork",
    )
    assert len(list(loader)) == 2


def ways() -> dict[str, Callable[[], None]]:
    env = wrapped()
    steps(env)
    return {
        "AsyncVectorEnv, fork": partial(gymnasium_steps, "fork"),
        "AsyncVectorEnv, forkserver": partial(gymnasium_steps, "forkserver", count=1),
        "AsyncVectorEnv, spawn": partial(gymnasium_steps, "spawn", count=1),
        "AsyncVectorEnv below its twin": partial(gymnasium_steps, "fork", ImageEnv, twin=True),
        "make_vec with wrappers": make_vec_steps,
        "SubprocVecEnv, fork": partial(sb3_steps, "fork"),
        "SubprocVecEnv below its twin": partial(sb3_steps, "fork", ImageEnv, twin=True),
        "wrapper of the parent": partial(in_fork, partial(steps, env), partial(steps, env)),
        "any operation": partial(in_fork, on_threads, on_threads),
        "fork in a fork": partial(in_fork, partial(in_fork, on_threads)),
        "fork from a thread": from_a_thread,
        "fit on two threads": partial(in_fork, fit),
        "DataLoader": load,
    }


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name, way in ways().items():
        on_threads()
        way()
        assert torch.get_num_threads() == 2, name
        print(name, flush=True)
    print("all ways")
