"""Cloning in z: can an agent that sees the features steer the latent as an expert would?

Expert actions are encoded, the latents regressed on the features, and the regression rolled out.
Where the expert can be asked without its noise, what it *means* to do is encoded: the latents of
noisy actions are almost pure noise, since the prior models that noise.
In the project's measurements this ranks priors for RL where likelihood and lift rate do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from parrot_wrapper.evaluation.policies import (
    ClippedExpert,
    Clone,
    EpisodePolicy,
    Predictor,
    RawClone,
)
from parrot_wrapper.evaluation.recordings import Recording, decisions, embed, state_vectors
from parrot_wrapper.evaluation.regression import FitSettings, fit_mlp, held_out_rows
from parrot_wrapper.evaluation.rollouts import EvaluationResult, evaluate
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, OffersLabels


@dataclass(frozen=True)
class CloneResult:
    """A clone of the expert.

    Attributes:
        unexplained: Share of the target's variance left unexplained on held-out episodes.
        rollouts: The clone in the env.
    """

    unexplained: float
    rollouts: EvaluationResult

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return {"unexplained": self.unexplained, "rollouts": self.rollouts.to_dict()}


@dataclass(frozen=True)
class Cloning:
    """Clones of the same successful episodes.

    Attributes:
        latent: z from the prior's features: the measure itself.
        action: Env actions from the same features: how much of a failure is the features'.
        privileged: z from the simulator's state: how much is the prior's; None without labels.
        steps: Recorded steps that they learned from.
    """

    latent: CloneResult
    action: CloneResult
    privileged: CloneResult | None
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return {
            "latent": self.latent.to_dict(),
            "action": self.action.to_dict(),
            "privileged": self.privileged.to_dict() if self.privileged else None,
            "steps": self.steps,
        }


def clone_in_latent(
    env: gym.Env[Any, Any],
    prior: ActionPrior,
    recording: Recording,
    *,
    episodes: int = 100,
    settings: FitSettings | None = None,
    progress: bool = False,
) -> Cloning:
    """Fit the clones on the successful episodes of a recording and roll each out.

    Args:
        env: The bare env.
        prior: A prior with `encode`.
        recording: Of an expert in this env.
        episodes: Held-out episodes for each clone.
        settings: How the regressions are fitted.
        progress: Show progress bars.
    """
    good = recording.successful()
    decided = decisions(prior, good, intended=True)
    latents = prior.encode_features(decided.actions, decided.features)
    bare = env.unwrapped

    def score(
        name: str,
        inputs: FloatArray,
        outputs: FloatArray,
        episodes_of: AnyArray,
        make_policy: Callable[[Predictor], EpisodePolicy],
    ) -> CloneResult:
        fitted = fit_mlp(inputs, outputs, held_out_rows(episodes_of), settings)
        policy = make_policy(fitted.predict)
        rollouts = evaluate(
            policy,
            env,
            episodes=episodes,
            on_reset=policy.begin,
            progress=f"clone ({name})" if progress else None,
        )
        return CloneResult(fitted.unexplained, rollouts)

    privileged = None
    if good.labels and isinstance(bare, OffersLabels):
        source = bare

        def state() -> FloatArray:
            labels = {key: value[None] for key, value in source.privileged_labels().items()}
            vector: FloatArray = state_vectors(labels)[0]
            return vector

        privileged = score(
            "z from state",
            state_vectors(decided.at.labels),
            latents,
            decided.at.episodes,
            lambda predict: Clone(env, prior, predict, state=state),
        )
    return Cloning(
        latent=score(
            "z",
            decided.features,
            latents,
            decided.at.episodes,
            lambda predict: Clone(env, prior, predict),
        ),
        action=score(
            "action",
            embed(prior, good),
            good.actions if good.intended is None else good.intended,
            good.episodes,
            lambda predict: RawClone(env, prior, predict),
        ),
        privileged=privileged,
        steps=len(good),
    )


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
    """
    results = []
    for limit in limits:
        policy = ClippedExpert(env, prior, limit=limit, noise=noise)
        label = f"expert with |z| <= {limit:g}" if progress else None
        results.append(
            evaluate(policy, env, episodes=episodes, on_reset=policy.begin, progress=label)
        )
    return Reachability(tuple(limits), tuple(results))
