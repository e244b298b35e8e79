"""dm_control through shimmy: float64 observations in a Dict without images, float64 actions."""

import argparse
from pathlib import Path

import gymnasium as gym
import numpy as np
import shimmy
from stable_baselines3 import SAC

from parrot_wrapper import (
    BehavioralPriorWrapper,
    FlowPrior,
    LayerNormReLU,
    flow_config,
    target_entropy,
)
from parrot_wrapper.evaluation.policies import PriorSamples, UniformActions
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig

LINK = 0.12  # metres


def reach(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Pull the fingertip to the target: the force's torques at both joints, and some damping."""
    shoulder, elbow = observation["position"]
    whole = shoulder + elbow
    lower = LINK * np.array([-np.sin(whole), np.cos(whole)])
    upper = LINK * np.array([-np.sin(shoulder), np.cos(shoulder)])
    force = observation["to_target"]
    torque = np.array([(upper + lower) @ force, lower @ force])
    return 100.0 * torque - 0.2 * observation["velocity"]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("runs/dm-control-reacher"))
parser.add_argument("--episodes", type=int, default=50)
parser.add_argument("--rollouts", type=int, default=20)
parser.add_argument("--prior-steps", type=int, default=2_000)
parser.add_argument("--steps", type=int, default=20_000)
args = parser.parse_args()

gym.register_envs(shimmy)
env = gym.make("dm_control/reacher-easy-v0", max_episode_steps=200)

keys = ("position", "velocity", "to_target")
data = record_policy(env, reach, episodes=args.episodes, state_key=keys)
prior = FlowPrior(flow_config(data, hidden=64))
report = fit_prior(prior, data, PriorTrainingConfig(steps=args.prior_steps, learning_rate=1e-3))
print(f"validation: {report.validation_nll:.2f} nats")
prior.save(args.out / "prior")

wrapped = BehavioralPriorWrapper(env, args.out / "prior", observation="features")
model = SAC(
    "MlpPolicy",
    wrapped,
    gamma=0.95,
    learning_starts=min(500, args.steps // 2),
    ent_coef="auto_0.1",
    target_entropy=target_entropy(wrapped.action_space, kl=3.0),
    policy_kwargs={"activation_fn": LayerNormReLU},
    seed=0,
    device="cpu",
)
model.learn(args.steps)
model.save(args.out / "model.zip")

policies = {
    "uniform actions": (UniformActions(env), env),
    "samples of the prior": (PriorSamples(env, prior), env),
    "SAC in its latents": (model, wrapped),
}
for name, (policy, where) in policies.items():
    result = evaluate(policy, where, episodes=args.rollouts)
    print(f"{name}: return {result.mean_return:.1f}, success {result.success.value:.0%}")
env.close()
