"""panda-gym: a prior over two keys of a goal env's Dict observation, and stock SAC in its latents.

The agent still gets the whole observation, so that its replay buffer may be a hindsight one.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import numpy as np
import panda_gym
from stable_baselines3 import SAC, HerReplayBuffer

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


def reach(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Move straight to the goal."""
    return 5.0 * (observation["desired_goal"] - observation["achieved_goal"])


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("runs/panda-reach"))
parser.add_argument("--episodes", type=int, default=200)
parser.add_argument("--rollouts", type=int, default=20)
parser.add_argument("--prior-steps", type=int, default=2_000)
parser.add_argument("--steps", type=int, default=2_000)
args = parser.parse_args()

gym.register_envs(panda_gym)
env = gym.make("PandaReach-v3")

# The keys are told once: data, prior and wrapper remember them.
keys = ("observation", "desired_goal")
data = record_policy(env, reach, episodes=args.episodes, state_key=keys)
prior = FlowPrior(flow_config(data, hidden=64))
report = fit_prior(prior, data, PriorTrainingConfig(steps=args.prior_steps, learning_rate=1e-3))
print(f"validation: {report.validation_nll:.2f} nats")
prior.save(args.out / "prior")

wrapped = BehavioralPriorWrapper(env, args.out / "prior")
model = SAC(
    "MultiInputPolicy",
    wrapped,
    replay_buffer_class=HerReplayBuffer,
    learning_starts=min(200, args.steps // 2),  # at least one whole episode, for hindsight
    gamma=0.95,
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
