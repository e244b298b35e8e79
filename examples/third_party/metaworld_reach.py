"""Meta-World: its scripted policies as demonstrations, one prior, stock SAC in its latents."""

import argparse
from pathlib import Path

import gymnasium as gym
import metaworld
from metaworld.policies import SawyerReachV3Policy
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
parser.add_argument("--out", type=Path, default=Path("runs/metaworld-reach"))
parser.add_argument("--episodes", type=int, default=50)
parser.add_argument("--rollouts", type=int, default=20)
parser.add_argument("--prior-steps", type=int, default=2_000)
parser.add_argument("--steps", type=int, default=20_000)
args = parser.parse_args()

gym.register_envs(metaworld)
env = gym.make("Meta-World/MT1", env_name="reach-v3", seed=0, max_episode_steps=100)

# Failed episodes are dropped: info["success"] of the last step tells.
data = record_policy(env, SawyerReachV3Policy().get_action, episodes=args.episodes)
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
