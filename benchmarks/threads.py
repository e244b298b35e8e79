"""What more torch threads do for a decision, SAC's update, the README's script and a prior's fit.

    python benchmarks/threads.py
    python benchmarks/threads.py --only fit --fit-batches 128 256 --rounds 5

Every round does each piece of work with one thread and with several, on the machine as it is and
beside one process that spins on each core. Medians of the rounds, and medians of their ratios: of
the wall-clock, and of the CPU time, which adds up over threads. Above 1, one thread is better. The
rows of an idle machine need one: the last line has the load that was there before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import BehavioralPriorWrapper, FlowPrior, LayerNormReLU, target_entropy
from parrot_wrapper.data import load_dataset
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.priors import flow_config
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.model import build_model, wrap_env
from parrot_wrapper.training.prior_batches import batch_maker
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_trainer import PriorTrainer
from parrot_wrapper.types import FloatArray


class Work(NamedTuple):
    """Something to do, and how often in a round."""

    name: str
    run: Callable[[], Any]
    calls: int


class Cost(NamedTuple):
    """Milliseconds of one call."""

    wall: float
    cpu: float


def decisions(prior_name: str, batches: Sequence[int]) -> Iterator[Work]:
    """Features and decoding, as a wrapper does them."""
    prior = load_prior(prior_name)
    for batch in batches:
        shape = (batch, *(prior.observation_spec.image or ()))
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        latent = np.zeros((batch, prior.latent_dim), np.float32)
        decide = partial(_decide, prior, {"image": image}, latent)
        yield Work(f"features and decoding of {batch}", decide, max(50 // batch, 5))


def _decide(prior: EncoderPrior, observation: dict[str, Any], latent: FloatArray) -> None:
    prior.decode_features(latent, prior.features(observation))


def updates(env_id: str, prior: str, sizes: Sequence[int]) -> Iterator[Work]:
    """SAC's update as `parrot train` has it."""
    config = RLConfig(env_id=env_id, prior=prior)
    env = wrap_env(gym.make(env_id), config)
    model = build_model(config, env)
    model.set_logger(Logger(None, []))
    model.learn(config.learning_starts)
    env.close()
    for size in sizes:
        yield Work(f"SAC's update, batch {size}", partial(model.train, 1, size), 10)


def script(env_id: str, prior: str) -> Iterator[Work]:
    """A step of the README's script, its warm-up shortened: env, prior and SAC's update."""
    env = BehavioralPriorWrapper(gym.make(env_id), prior, observation="features")
    net = {"activation_fn": LayerNormReLU}
    budget = target_entropy(env.action_space, kl=5.0)
    sac = {"gamma": 0.95, "ent_coef": "auto_0.1", "learning_starts": 256, "target_entropy": budget}
    model = SAC("MlpPolicy", env, policy_kwargs=net, **sac)
    model.learn(257)

    yield Work(
        "5 steps of the README's script", partial(model.learn, 5, reset_num_timesteps=False), 2
    )


def fits(sizes: Sequence[int], folder: Path) -> Iterator[Work]:
    """Steps of `parrot train-prior` with the encoder that it takes for images."""
    source = ExpertSource("ParrotMultiTask-v0", shard_attempts=8)
    collect(source, n_episodes=8, folder=folder, workers=1, progress=False)
    data, settings = load_dataset(folder), PriorTrainingConfig()
    prior = FlowPrior(flow_config(data))
    trainer = PriorTrainer(prior, settings, torch.device("cpu"))
    for size in sizes:
        make = batch_maker(data, prior, batch_size=size, edge_spread=settings.edge_spread)
        batch = make(np.random.default_rng(0))
        step = partial(trainer.update, batch, step=0, learning_rate=1e-4, seed=0)
        yield Work(f"step of train-prior, batch {size}", step, 1)


@contextmanager
def busy() -> Iterator[None]:
    """A process that spins for each core."""
    command = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.2)  # they have begun to spin
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


MACHINES = {"as-it-is": nullcontext, "busy": busy}


def cost(work: Work, threads: int) -> Cost:
    """What one call takes."""
    torch.set_num_threads(threads)
    work.run()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(work.calls):
        work.run()
    per_call = 1e3 / work.calls
    return Cost((time.perf_counter() - wall) * per_call, (time.process_time() - cpu) * per_call)


def row(name: str, machine: str, rounds: Sequence[tuple[Cost, Cost]]) -> list[str]:
    """A row of the table."""
    values = np.array(rounds)  # (rounds, one or several threads, wall or CPU)
    wall, cpu = np.median(values[:, 1] / values[:, 0], axis=0)
    milliseconds = [f"{value:.1f}" for value in np.median(values, axis=0).T.ravel()]
    return [name, machine, *milliseconds[:2], f"{wall:.2f}", *milliseconds[2:], f"{cpu:.2f}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parts = ("decisions", "updates", "script", "fit")
    parser.add_argument("--only", nargs="*", choices=parts, default=parts)
    parser.add_argument("--env-id", default="ParrotGraspCup-v0")
    parser.add_argument("--prior", default="parrot-v0", help="packaged name or folder")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--sizes", type=int, nargs="*", default=[256])
    parser.add_argument("--fit-batches", type=int, nargs="*", default=[128, 256])
    parser.add_argument("--machines", nargs="*", choices=MACHINES, default=list(MACHINES))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        makers = {
            "decisions": lambda: decisions(args.prior, args.batches),
            "updates": lambda: updates(args.env_id, args.prior, args.sizes),
            "script": lambda: script(args.env_id, args.prior),
            "fit": lambda: fits(args.fit_batches, Path(folder)),
        }
        works = [work for part in args.only for work in makers[part]()]
    costs: dict[tuple[str, str], list[tuple[Cost, Cost]]] = {}
    for _ in range(args.rounds):
        for machine in args.machines:
            with MACHINES[machine]():
                for work in works:
                    pair = cost(work, 1), cost(work, args.threads)
                    costs.setdefault((work.name, machine), []).append(pair)
    several = f"{args.threads} threads"
    header = ["work", "machine", "1 thread ms", f"{several} ms", "ratio"]
    header += ["1 thread CPU ms", f"{several} CPU ms", "CPU ratio"]
    print(markdown_table(header, [row(*key, pairs) for key, pairs in costs.items()]))
    print(f"load before: {load:.2f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
