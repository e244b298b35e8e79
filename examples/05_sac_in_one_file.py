"""SAC in one file over plain gymnasium, without Stable-Baselines3: for a loop of your own."""

import argparse

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper import BehavioralPriorWrapper, LayerNormReLU, target_entropy

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=15_000)
parser.add_argument("--warm-up", type=int, default=1_000)
args = parser.parse_args()

torch.manual_seed(0)
rng = np.random.default_rng(0)
env = BehavioralPriorWrapper(gym.make("ParrotGraspCup-v0"), "parrot-v0", observation="features")
budget = target_entropy(env.action_space, kl=5.0)
S, Z = env.observation_space.shape[0], env.action_space.shape[0]


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers, normalised."""
    first, second = nn.Linear(inputs, 256), nn.Linear(256, 256)
    return nn.Sequential(first, LayerNormReLU(), second, LayerNormReLU(), nn.Linear(256, outputs))


actor, log_alpha = network(S, 2 * Z), nn.Parameter(torch.tensor(0.1).log())
critics, targets = (nn.ModuleList(network(S + Z, 1) for _ in range(2)) for _ in range(2))
targets.load_state_dict(critics.state_dict())
trained = {"critics": critics.parameters(), "actor": actor.parameters(), "alpha": [log_alpha]}
optimisers = {name: torch.optim.Adam(weights, 3e-4) for name, weights in trained.items()}


def act(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A squashed Gaussian u (B, Z), and log pi(u|s) (B, 1)."""
    mean, log_std = actor(state).chunk(2, dim=-1)
    normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
    drawn = normal.rsample()
    slope = 2 * (np.log(2) - drawn - functional.softplus(-2 * drawn))  # log of tanh's
    return drawn.tanh(), (normal.log_prob(drawn) - slope).sum(-1, keepdim=True)


def descend(name: str, loss: torch.Tensor) -> None:
    """One step of one of the optimisers."""
    optimisers[name].zero_grad()
    loss.backward()
    optimisers[name].step()


buffer = np.zeros((args.steps, S + Z + 1 + S), np.float32)  # episodes end by time alone
successes, (state, _) = [], env.reset(seed=0)
for step in range(args.steps):
    warm = step < args.warm_up  # uniform u are exact samples of the prior
    u = rng.uniform(-1, 1, Z) if warm else act(torch.from_numpy(state))[0].detach().numpy()
    following, reward, _, truncated, info = env.step(u)
    buffer[step], state = np.concatenate((state, u, [reward], following)), following
    if truncated:
        successes.append(info["is_success"])
        state, _ = env.reset()
    if not warm:
        rows = torch.from_numpy(buffer[rng.integers(step + 1, size=256)])
        s, a, r, after = rows.split((S, Z, 1, S), dim=1)
        with torch.no_grad():
            u2, log_pi2 = act(after)
            worst = torch.minimum(*(target(torch.cat((after, u2), 1)) for target in targets))
            goal = r + 0.95 * (worst - log_alpha.exp() * log_pi2)
        errors = (functional.mse_loss(net(torch.cat((s, a), 1)), goal) for net in critics)
        descend("critics", sum(errors))
        u1, log_pi1 = act(s)
        worst = torch.minimum(*(critic(torch.cat((s, u1), 1)) for critic in critics))
        descend("actor", (log_alpha.exp().detach() * log_pi1 - worst).mean())
        descend("alpha", -(log_alpha * (log_pi1.detach() + budget)).mean())
        for slow, fast in zip(targets.parameters(), critics.parameters(), strict=True):
            slow.data.lerp_(fast.data, 0.005)
print(f"success in the last 50 episodes: {np.mean(successes[-50:]):.0%}")
