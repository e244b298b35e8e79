"""Reachability: how far from the prior's centre does the expert's behaviour lie?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from parrot_wrapper.evaluation.policies import ClippedExpert
from parrot_wrapper.evaluation.rollouts import EvaluationResult, evaluate
from parrot_wrapper.types import ActionPrior

LIMITS = (1.5, 2.0, 3.0)
"""Half-widths in standard deviations that are tried by default."""


@dataclass(frozen=True)
class Reachability:
    """The expert executed through a clipped latent.

    Attributes:
        limits: Half-widths |z_i| <= k in standard deviations.
        rollouts: One result for each.
    """

    limits: tuple[float, ...]
    rollouts: tuple[EvaluationResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy, limits as text."""
        pairs = zip(self.limits, self.rollouts, strict=True)
        return {f"{limit:g}": result.to_dict() for limit, result in pairs}


def measure_reachability(
    env: gym.Env[Any, Any],
    prior: ActionPrior,
    *,
    limits: Sequence[float] = LIMITS,
    episodes: int = 100,
    noise: float = 0.1,
    progress: bool = False,
) -> Reachability:
    """Ask the expert at every step, encode, clip, decode, execute.

    Args:
        env: A bare env that offers an expert.
        prior: A prior with `encode`.
        limits: Half-widths to try.
        episodes: Held-out episodes for each.
        noise: Standard deviation added to the expert's actions, as in the prior's data.
        progress: Show progress bars.

    Raises:
        InvalidArgumentError: The env offers no expert.
    """
    results = []
    for limit in limits:
        policy = ClippedExpert(env, prior, limit=limit, noise=noise)
        label = f"expert with |z| <= {limit:g}" if progress else None
        results.append(
            evaluate(policy, env, episodes=episodes, on_reset=policy.begin, progress=label)
        )
    return Reachability(tuple(limits), tuple(results))
