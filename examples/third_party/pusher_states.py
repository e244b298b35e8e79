"""Gymnasium's Pusher-v5: a state vector, seven torques, and a reward instead of success."""

import argparse
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
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

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("runs/pusher"))
parser.add_argument("--episodes", type=int, default=50)
parser.add_argument("--rollouts", type=int, default=20)
parser.add_argument("--prior-steps", type=int, default=2_000)
parser.add_argument("--steps", type=int, default=5_000)
args = parser.parse_args()

env = gym.make("Pusher-v5")
model, state = env.unwrapped.model, env.unwrapped.data
fingertip = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "tips_arm")


def push(observation: np.ndarray) -> np.ndarray:
    """Pull the fingertip to the far side of the object: all that this expert can."""
    tip, thing, goal = np.split(observation[14:], 3)
    behind = thing - 0.1 * (goal - thing) / (np.linalg.norm(goal - thing) + 1e-6)
    jacobian = np.zeros((3, model.nv))
    mujoco.mj_jacBody(model, state, jacobian, None, fingertip)
    return 10.0 * jacobian[:, :7].T @ (behind - tip) - 0.3 * observation[7:14]


data = record_policy(env, push, episodes=args.episodes)
prior = FlowPrior(flow_config(data, hidden=64))
report = fit_prior(prior, data, PriorTrainingConfig(steps=args.prior_steps, learning_rate=1e-3))
print(f"validation: {report.validation_nll:.2f} nats")
prior.save(args.out / "prior")

wrapped = BehavioralPriorWrapper(env, args.out / "prior")  # the agent sees the state as it is
agent = SAC(
    "MlpPolicy",
    wrapped,
    gamma=0.95,
    learning_starts=min(500, args.steps // 2),
    ent_coef="auto_0.1",
    target_entropy=target_entropy(wrapped.action_space, kl=5.0),
    policy_kwargs={"activation_fn": LayerNormReLU},
    seed=0,
    device="cpu",
)
agent.learn(args.steps)
agent.save(args.out / "model.zip")

policies = {
    "uniform actions": (UniformActions(env), env),
    "samples of the prior": (PriorSamples(env, prior), env),
    "SAC in its latents": (agent, wrapped),
}
for name, (policy, where) in policies.items():
    result = evaluate(policy, where, episodes=args.rollouts)
    print(f"{name}: return {result.mean_return:.1f}, success {result.success.value:.0%}")
env.close()
