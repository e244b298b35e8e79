"""Deploy an agent and its prior as one ONNX file, and drive an env by it without torch.

The second half is all that a robot's computer needs: NumPy and onnxruntime.

    pip install "parrot-wrapper[sb3,onnx]"
    python examples/08_onnx.py
"""

import argparse
import time

import gymnasium as gym
import numpy as np
import onnxruntime
from stable_baselines3 import SAC

from parrot_wrapper import BehavioralPriorWrapper, PriorTrainingConfig, fit_prior
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.onnx_export import export_onnx


def train(steps: int) -> SAC:
    """A prior that swings a pendulum, and an agent in its latent space."""
    env = gym.make("Pendulum-v1")
    data = record_policy(env, lambda seen: [2.0 * np.sign(seen[2])], episodes=20)
    prior = fit_prior(data, config=PriorTrainingConfig(steps=steps), progress=False).prior
    latent = BehavioralPriorWrapper(env, prior, observation="features")
    return SAC("MlpPolicy", latent, device="cpu", seed=0).learn(steps)


def main() -> None:
    """Train, export, and drive the env by the file alone; then by the original."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2_000, help="of the prior and of the agent")
    parser.add_argument("--out", default="agent.onnx")
    args = parser.parse_args()
    model = train(args.steps)
    print(f"largest difference: {export_onnx(model, args.out):.1e}")

    session = onnxruntime.InferenceSession(args.out)
    env = gym.make("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    total, over, seconds = 0.0, False, []
    while not over:
        began = time.perf_counter()
        [[action]] = session.run(None, {"state": observation[None]})
        seconds.append(time.perf_counter() - began)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    print(f"return {total:.0f}, {1e3 * np.median(seconds):.2f} ms a decision with onnxruntime")

    latent = model.get_env().envs[0]
    features, _ = latent.reset(seed=0)
    own, seconds = 0.0, []
    for _ in range(200):
        began = time.perf_counter()
        u, _ = model.predict(features, deterministic=True)
        features, reward, *_ = latent.step(u)
        seconds.append(time.perf_counter() - began)
        own += float(reward)
    print(
        f"return {own:.0f}, {1e3 * np.median(seconds):.2f} ms a step with torch, the env's included"
    )


if __name__ == "__main__":
    main()
