"""Gymnasium-Robotics (MuJoCo): a prior that sees images, and an agent that sees coordinates.

Without a display MuJoCo needs `MUJOCO_GL=egl` or `MUJOCO_GL=osmesa` in the environment.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import gymnasium_robotics
import numpy as np
from gymnasium.wrappers import AddRenderObservation, FilterObservation, TransformReward
from stable_baselines3 import SAC

from parrot_wrapper import (
    BehavioralPriorWrapper,
    FlowPrior,
    LayerNormReLU,
    PriorTrainingConfig,
    evaluate,
    fit_prior,
    target_entropy,
)
from parrot_wrapper.evaluation.policies import PriorSamples, UniformActions
from parrot_wrapper.record.policy_episodes import record_policy


def reach(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Move straight to the goal, which the prior will have to find in the image."""
    way = observation["desired_goal"] - observation["achieved_goal"]
    return np.append(10.0 * way, 0.0)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("runs/fetch-reach"))
parser.add_argument("--episodes", type=int, default=300)
parser.add_argument("--rollouts", type=int, default=20)
parser.add_argument("--prior-steps", type=int, default=2_000)
parser.add_argument("--steps", type=int, default=8_000)
parser.add_argument("--episode-steps", type=int, default=25)
args = parser.parse_args()

gym.register_envs(gymnasium_robotics)
# Look at what the prior will see: from the env's own camera the goal is a single pixel.
near = {"distance": 1.0, "azimuth": 150.0, "elevation": -30.0, "lookat": np.array([1.3, 0.75, 0.5])}
view = {"render_mode": "rgb_array", "width": 64, "height": 64, "default_camera_config": near}
bare = gym.make("FetchReach-v4", max_episode_steps=args.episode_steps, **view)
# With -1 until success, what was never tried looks better than what was.
env = TransformReward(bare, lambda reward: reward + 1.0)
env = AddRenderObservation(env, render_only=False, render_key="pixels")

keys = {"image_key": "pixels", "proprio_key": "observation"}
data = record_policy(env, reach, episodes=args.episodes, **keys)
# The default encoder of images needs labels of the simulator to be at its best.
prior = FlowPrior.for_data(data, encoder="convolutional", encoder_options={"embedding": 64})
fit_prior(prior, data, PriorTrainingConfig(steps=args.prior_steps, batch_size=128))
prior.save(args.out / "prior")

whole = BehavioralPriorWrapper(env, args.out / "prior")
wrapped = FilterObservation(whole, ["observation", "desired_goal"])
model = SAC(
    "MultiInputPolicy",
    wrapped,
    gamma=0.95,
    learning_starts=min(500, args.steps // 2),
    ent_coef="auto_0.1",
    target_entropy=target_entropy(wrapped.action_space, kl=3.0),
    policy_kwargs={"activation_fn": LayerNormReLU},
    seed=0,
)
model.learn(args.steps)

for name, policy, where in (
    ("uniform actions", UniformActions(env), env),
    ("samples of the prior", PriorSamples(env, prior), env),
    ("SAC in its latents", model, wrapped),
):
    result = evaluate(policy, where, episodes=args.rollouts)
    print(f"{name}: return {result.mean_return:.1f}, success {result.success.value:.0%}")
env.close()
