"""Stock SAC in the latent space of a prior: the script of an SB3 user, with one line more.

`parrot train` is this with checkpoints, exact resume and diagnostics.
"""

import argparse

import gymnasium as gym
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import BehavioralPriorWrapper, LayerNormReLU, target_entropy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--env-id", default="ParrotGraspCup-v0")
parser.add_argument("--prior", default="parrot-v0")
parser.add_argument("--steps", type=int, default=25_000)
parser.add_argument("--kl", type=float, default=5.0, help="nats that the agent may leave the prior")
parser.add_argument("--rollouts", type=int, default=50)
args = parser.parse_args()

torch.set_num_threads(1)  # small networks are fastest on one

# One line: the agent acts in the prior's latent space and sees the prior's features.
env = BehavioralPriorWrapper(gym.make(args.env_id), args.prior, observation="features")

model = SAC(
    "MlpPolicy",
    Monitor(env),
    gamma=0.95,
    ent_coef="auto_0.1",
    learning_starts=min(1_000, args.steps // 2),  # uniform latents: exact samples of the prior
    # SAC's entropy in the unit box is Z log 2 minus the KL to the prior.
    target_entropy=target_entropy(env.action_space, kl=args.kl),
    policy_kwargs={"activation_fn": LayerNormReLU},
    device="cpu",
    seed=0,
)
model.learn(args.steps)

returns, _ = evaluate_policy(model, Monitor(env), args.rollouts, return_episode_rewards=True)
share = sum(value > 0 for value in returns) / len(returns)
print(f"{args.env_id}: success on some step in {share:.0%} of {args.rollouts} episodes")
env.close()
