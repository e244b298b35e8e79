"""How evenly the latents of priors act: what an agent in their space has to cope with.

    python benchmarks/latent_smoothness.py parrot-v0 runs/main-laptop/artifacts/hirl-p0/prior

The derivative J of the decoded action (A,) by the latent (Z,), by central differences, for latents
drawn from the base and observations on the way of the first prior's samples. *Size* is the root of
the mean square of J's norm, in half-widths of the action box; *common* the share of it that is the
same whatever the observation and the latent are, |E J|^2 / E |J|^2; *stretch* the largest singular
value, median and 95 % quantile. An agent that learns what a latent does in one place knows it for
others the better, the larger the common share and the closer the quantile to the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import gymnasium as gym
import numpy as np
import torch

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper.evaluation.policies import PriorSamples
from parrot_wrapper.evaluation.recordings import record
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.types import FloatArray, Observations

_STEP = 0.01


def derivatives(prior: EncoderPrior, seen: Observations, rng: np.random.Generator) -> FloatArray:
    """J (N, A, Z) at a random latent for each observation."""
    features = prior.features(seen)
    z = rng.standard_normal((len(features), prior.latent_dim)).astype(np.float32)
    columns = [
        prior.decode_features(z + step, features) - prior.decode_features(z - step, features)
        for step in _STEP * np.eye(prior.latent_dim, dtype=np.float32)
    ]
    low, high = prior.action_bounds
    half_widths = (high - low) / 2
    j: FloatArray = np.stack(columns, axis=2) / np.float32(2 * _STEP) / half_widths[:, None]
    return j


def row(name: str, j: FloatArray) -> list[str]:
    """A row of the table."""
    squared = float(np.mean(np.sum(j**2, axis=(1, 2))))
    common = float(np.sum(np.mean(j, axis=0) ** 2)) / squared
    stretch = np.quantile(np.linalg.svd(j, compute_uv=False)[:, 0], [0.5, 0.95])
    return [name, f"{squared**0.5:.2f}", f"{common:.2f}", *(f"{value:.2f}" for value in stretch)]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("priors", nargs="+", help="packaged names or folders")
    parser.add_argument("--env-id", default="ParrotMultiTask-v0")
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args(argv)
    priors = {name: load_prior(name) for name in args.priors}
    acting = {name: prior for name, prior in priors.items() if isinstance(prior, EncoderPrior)}
    if len(acting) < len(priors) or any(prior.horizon > 1 for prior in priors.values()):
        parser.error("expected priors of single actions")
    first, env = acting[args.priors[0]], gym.make(args.env_id)
    seen = record(env, first, PriorSamples(env, first), episodes=args.episodes).observations
    env.close()
    rows = [
        row(name, derivatives(prior, seen, np.random.default_rng(0)))
        for name, prior in acting.items()
    ]
    heads = ["prior", "size", "common", "stretch, median", "stretch, 95 %"]
    print(markdown_table(heads, rows))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
