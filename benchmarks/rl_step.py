"""Where a step of `parrot train` goes, and what it would cost otherwise.

    python benchmarks/rl_step.py

One core, one torch thread, CPU time. The first table adds up a training step. Each row of the
second compares two ways to do the same, in turns: median times, the median of their ratios, what
that makes of the whole step, and the largest difference in the first result (a weight after three
updates, a feature, an action). `parrot train` has the changes that are marked as kept; the others
do not pay.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn
from torch.nn import functional
from wrapper import find_prior

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.model import build_model, skip_unused_gradients, wrap_env
from parrot_wrapper.rl.normed_activation import LayerNormReLU
from parrot_wrapper.rl.replay.buffers import replay_arrays, restore_replay


class Comparison(NamedTuple):
    """Two ways to do the same; each returns the numbers that it made."""

    name: str
    before: Callable[[], Tensor]
    after: Callable[[], Tensor]


class InPlace(nn.Module):
    """`LayerNormReLU` without a copy."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return functional.relu_(functional.layer_norm(x, x.shape[-1:]))


def sac(first: SAC, *, skip: bool = False, **policy_kwargs: Any) -> SAC:
    """SAC as SB3 makes it, but for the changes given, with the replay buffer of another."""
    model = SAC(
        "MlpPolicy",
        first.env,
        buffer_size=first.buffer_size,
        batch_size=first.batch_size,
        ent_coef="auto_0.1",
        target_entropy=first.target_entropy,
        policy_kwargs={"net_arch": [256, 256], "activation_fn": LayerNormReLU, **policy_kwargs},
        seed=0,
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    restore_replay(
        cast("Any", model.replay_buffer), replay_arrays(cast("Any", first.replay_buffer))
    )
    if skip:
        skip_unused_gradients(model.critic)
    return model


def updates(model: SAC, *, flush: bool = False) -> Callable[[], Tensor]:
    """Three updates with the same batches and noise as any other model's at this point."""
    done = 0

    def run() -> Tensor:
        nonlocal done
        np.random.seed(done)
        torch.manual_seed(done)
        done += 1
        torch.set_flush_denormal(flush)
        model.train(3, model.batch_size)
        torch.set_flush_denormal(False)
        return nn.utils.parameters_to_vector(model.policy.parameters()).detach()

    return run


def update_comparisons(first: SAC) -> list[Comparison]:
    """Changes of SAC's update."""

    def against_stock(name: str, model: SAC, *, flush: bool = False) -> Comparison:
        return Comparison(name, updates(sac(first)), updates(model, flush=flush))

    fused = {"optimizer_kwargs": {"fused": True}}
    return [
        against_stock("fused Adam (kept)", sac(first, **fused)),
        against_stock("no unused gradients (kept)", sac(first, skip=True)),
        against_stock("both of these", sac(first, skip=True, **fused)),
        against_stock("foreach Adam", sac(first, optimizer_kwargs={"foreach": True})),
        against_stock("ReLU in place", sac(first, activation_fn=InPlace)),
        against_stock("denormals to zero", sac(first), flush=True),
    ]


def actor_comparison(model: SAC) -> Comparison:
    """The actor without what SB3 puts around it; `acting.py` has the prior's part."""
    observation = cast("Any", model._last_obs)
    tensor = obs_as_tensor(observation, model.device)
    low, high = model.action_space.low, model.action_space.high  # type: ignore[attr-defined]

    def bare_actor() -> Tensor:
        with torch.no_grad():
            action = model.actor(cast("Tensor", tensor), deterministic=True).numpy()
        return torch.from_numpy(np.clip(action, low, high))

    return Comparison(
        "actor without SB3's conversions",
        lambda: torch.from_numpy(model.predict(observation, deterministic=True)[0]),
        bare_actor,
    )


def cpu_ms(function: Callable[[], Any], calls: int = 1) -> float:
    """CPU milliseconds of one call."""
    started = time.process_time()
    for _ in range(calls):
        function()
    return 1e3 * (time.process_time() - started) / calls


def parts_of_a_step(model: SAC, image: Any, prior: Any, steps: int) -> dict[str, float]:
    """CPU milliseconds of the parts of a training step, resets included; "all" is their sum."""
    frozen = prior.features(image), np.zeros((1, prior.latent_dim), np.float32)
    bare = gym.make("ParrotGraspCup-v0")

    def episodes() -> None:
        for step in range(steps):
            if step % 25 == 0:
                bare.reset()
            bare.step(bare.action_space.sample())

    def collect() -> None:
        model.gradient_steps = 0
        model.learn(steps, reset_num_timesteps=False)
        model.gradient_steps = 1

    parts = {
        "env": cpu_ms(episodes) / steps,
        "features": cpu_ms(lambda: prior.features(image), steps),
        "decode": cpu_ms(lambda: prior.decode_features(frozen[1], frozen[0]), steps),
        "act": cpu_ms(lambda: model._sample_action(0), steps),
    }
    bare.close()
    collecting = cpu_ms(collect) / steps
    parts["wrapper, SB3's rollout"] = collecting - sum(parts.values())
    parts["update"] = cpu_ms(updates(model), steps // 10) / 3
    parts["all"] = collecting + parts["update"]
    return parts


def _keep(function: Callable[[], Tensor], results: list[Tensor]) -> None:
    results.append(function())


def compare(comparison: Comparison, *, rounds: int, whole: float, per_round: int) -> list[str]:
    """A row of the second table."""
    pairs: list[list[float]] = []
    difference = 0.0
    for _ in range(rounds):
        results: list[Tensor] = []
        ways = (comparison.before, comparison.after)
        pairs.append([cpu_ms(partial(_keep, way, results)) for way in ways])
        if len(pairs) == 1:
            difference = float((results[0] - results[1]).abs().max())
    before, after = np.median(pairs, axis=0) / per_round
    ratio = float(np.median([ours / theirs for theirs, ours in pairs]))
    step = 1.0 - before * (1.0 - ratio) / whole
    cells = [f"{before:.2f}", f"{after:.2f}", f"{ratio:.2f}", f"{step:.2f}", f"{difference:.0e}"]
    return [comparison.name, *cells]


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prior", default=None, help="packaged name or folder")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args(argv)
    prior = find_prior(args.prior)
    config = RLConfig(
        env_id="ParrotGraspCup-v0", prior="live", device="cpu", learning_starts=args.steps
    )
    venv = DummyVecEnv([lambda: wrap_env(Monitor(gym.make(config.env_id)), config, prior)])
    model = build_model(config, venv)
    model.set_logger(Logger(None, []))
    model.learn(args.steps)
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    parts = parts_of_a_step(model, image, prior, args.steps)
    shares = [[name, f"{ms:.2f}", f"{ms / parts['all']:.2f}"] for name, ms in parts.items()]
    print(markdown_table(["part", "ms", "share"], shares), end="\n\n")
    options = {"rounds": args.rounds, "whole": parts["all"]}
    rows = [compare(row, per_round=3, **options) for row in update_comparisons(model)]
    rows.append(compare(actor_comparison(model), per_round=1, **options))
    venv.close()
    columns = ["change", "before ms", "after ms", "ratio", "whole step", "largest difference"]
    print(markdown_table(columns, rows))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main()
