"""What a prior's features tell of the next action, and what true places beside them would add.

    python benchmarks/what_features_lack.py DATA PRIOR [PRIOR ...] --episodes 6000

A small mixture density network (Bishop 1994) learns actions from frozen features. Its negative
log-likelihood in other episodes is printed in nats, lower is better. Then the same with parts of
the simulator's labels beside the features: what lowers it most is what the encoder lacks most. Data
need labels (`parrot collect` keeps them). A row takes about 40 seconds on one core, after features.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import nn

from parrot_wrapper import load_dataset, load_prior
from parrot_wrapper.evaluation.report import markdown_table

COMPONENTS, BATCH, NOISE = 8, 256, 0.05


def held_out_nll(
    features: np.ndarray, actions: np.ndarray, held_out: np.ndarray, steps: int
) -> float:
    """NLL in nats of actions (N, A) in held-out rows (N,), told by features (N, F)."""
    torch.manual_seed(0)
    learned, tested = (torch.from_numpy(np.flatnonzero(part)) for part in (~held_out, held_out))
    x, y = torch.from_numpy(features).float(), torch.from_numpy(actions).float()
    x = ((x - x[learned].mean(0)) / (x[learned].std(0) + 1e-3)).clamp(-5, 5)
    dim = y.shape[1]
    net = nn.Sequential(
        nn.Linear(x.shape[1], 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU(),
        nn.Linear(256, COMPONENTS * (2 * dim + 1)),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 1e-5)

    def nll(rows: torch.Tensor, noise: float) -> torch.Tensor:
        seen = x[rows] + noise * torch.randn(len(rows), x.shape[1])
        mean, log_scale, weight = net(seen).view(len(rows), COMPONENTS, -1).split((dim, dim, 1), 2)
        log_scale = log_scale.clamp(-4, 2)
        error = (y[rows][:, None] - mean) / log_scale.exp()
        density = -(0.5 * error.square() + log_scale + 0.5 * math.log(2 * math.pi)).sum(2)
        return -torch.logsumexp(density + weight[:, :, 0].log_softmax(1), dim=1)

    for _ in range(steps):
        loss = nll(learned[torch.randint(len(learned), (BATCH,))], NOISE).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return float(torch.cat([nll(rows, 0.0) for rows in tested.split(4096)]).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("priors", nargs="+")
    parser.add_argument("--episodes", type=int, help="all of them by default")
    parser.add_argument("--steps", type=int, default=4_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.data, n_episodes=arguments.episodes)
    rows = data.observation_rows()
    labels = {name: values[rows] for name, values in data.labels.items()}
    hand, things = labels["gripper"][:, :3], labels["landmarks"]
    beside = {
        "": hand[:, :0],
        "the gripper's opening": labels["gripper"][:, 3:],
        "the gripper's place": hand,
        "all things' places": np.concatenate(
            [(things - hand[:, None]).reshape(len(rows), -1), labels["landmark_kinds"]], axis=1
        ),
    }
    held_out = np.repeat(np.arange(data.n_episodes), data.lengths) % 20 == 0
    table = []
    for name in arguments.priors:
        prior = load_prior(name)
        parts = list(prior.observation_spec.parts)
        told = np.concatenate(
            [prior.features(data.observed(parts, some)) for some in np.array_split(rows, 100)]
        )
        found = [
            held_out_nll(
                np.concatenate([told, more], axis=1), data.actions, held_out, arguments.steps
            )
            for more in beside.values()
        ]
        table.append([name, *(f"{nll:.3f}" for nll in found)])
        print(table[-1], flush=True)
    heads = ["prior", "features", *(f"and {name}" for name in beside if name)]
    print(markdown_table(heads, table))


if __name__ == "__main__":
    main()
