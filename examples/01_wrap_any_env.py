"""Wrap an env that this project knows nothing of: demonstrations, a prior, and acting in it.

Needs the extras `data` and `train`. A hand-written controller swings up Gymnasium's pendulum; a
prior is learned from what it did; random latents then do better than random actions.
"""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np

from parrot_wrapper import (
    BehavioralPriorWrapper,
    EpisodeDataset,
    FlowPrior,
    PriorTrainingConfig,
    fit_prior,
    flow_config,
)


def swing_up(observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pump energy into the pendulum, and hold it near the top."""
    cosine, sine, speed = observation
    angle = np.arctan2(sine, cosine)
    if abs(angle) < 0.5 and abs(speed) < 3.0:
        torque = -10.0 * angle - 2.0 * speed
    else:
        torque = 2.0 * np.sign(speed * (15.0 - 0.5 * speed**2 - 15.0 * cosine))
    return np.clip([torque + rng.normal(0.0, 0.2)], -2.0, 2.0).astype(np.float32)


def demonstrations(env: gym.Env[Any, Any], episodes: int) -> EpisodeDataset:
    """Record the controller: T + 1 observations and T actions of each episode."""
    rng = np.random.default_rng(0)
    observations, actions, lengths = [], [], []
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        observations.append(observation)
        ended, length = False, 0
        while not ended:
            actions.append(swing_up(observation, rng))
            observation, _, terminated, truncated, _ = env.step(actions[-1])
            observations.append(observation)
            ended, length = terminated or truncated, length + 1
        lengths.append(length)
    return EpisodeDataset.from_arrays(
        np.stack(observations), np.stack(actions), lengths, action_low=-2.0, action_high=2.0
    )


def random_return(env: gym.Env[Any, Any], episodes: int) -> float:
    """Mean return of uniformly random actions, whatever they mean."""
    total = 0.0
    env.action_space.seed(0)
    for seed in range(10_000, 10_000 + episodes):
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total += float(reward)
            ended = terminated or truncated
    return total / episodes


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--episodes", type=int, default=30)
parser.add_argument("--steps", type=int, default=1_500)
args = parser.parse_args()

env = gym.make("Pendulum-v1")
data = demonstrations(env, args.episodes)
prior = FlowPrior(flow_config(data, hidden=64))
print(fit_prior(prior, data, PriorTrainingConfig(steps=args.steps, learning_rate=1e-3)))
print(f"return of random actions: {random_return(env, args.episodes):.0f}")
print(f"return of random latents: {random_return(BehavioralPriorWrapper(env, prior), 30):.0f}")
