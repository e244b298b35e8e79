"""How well a prior fits actions: likelihood, inversion, normality of the encoded, box exits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.evaluation.recordings import Decisions, Recording, decisions
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import ActionPrior, FloatArray, OffersMemory


@dataclass(frozen=True)
class Likelihood:
    """Fit of a prior to recorded actions.

    Attributes:
        steps: Actions measured on.
        nll: Mean negative log-likelihood in nats per action; of a chunk, its nats over H.
        nll_median: Its median; far below the mean where there is a heavy tail.
        nll_per_dimension: `nll` over the number of action dimensions.
        inversion_error: Largest |a - decode(encode(a))| over all actions and dimensions.
        latent_mean: (Z,) mean of the encoded actions; 0 is ideal.
        latent_std: (Z,) standard deviation; 1 is ideal.
        latent_ks: (Z,) Kolmogorov-Smirnov distance to N(0, 1); 0 is ideal.
        box_exits: Share of the prior's samples with a dimension outside the action box by more
            than 1 % of its width.
    """

    steps: int
    nll: float
    nll_median: float
    nll_per_dimension: float
    inversion_error: float
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    latent_ks: tuple[float, ...]
    box_exits: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


@quiet_floats()
def measure_likelihood(
    prior: ActionPrior, recording: Recording, *, rng: np.random.Generator
) -> Likelihood:
    """Measure a prior on recorded actions.

    Args:
        prior: A prior with `encode` and `log_prob`.
        recording: Actions within the box that the prior was trained in.
        rng: Draws the samples whose box exits are counted.
    """
    decided = decisions(prior, recording)
    features, actions = decided.features, decided.actions
    nll = -np.float64(_log_prob(prior, decided)) / prior.horizon
    latent = prior.encode_features(actions, features)
    again = prior.decode_features(latent, features)
    noise = rng.standard_normal(latent.shape).astype(np.float32)
    low, high = prior.action_bounds
    slack = 0.01 * (high - low)
    samples = prior.decode_features(noise, features)
    outside = ((samples < low - slack) | (samples > high + slack)).any(axis=-1)
    return Likelihood(
        steps=len(actions) * prior.horizon,
        nll=float(nll.mean()),
        nll_median=float(np.median(nll)),
        nll_per_dimension=float(nll.mean()) / prior.action_dim,
        inversion_error=float(np.abs(again - actions).max()),
        latent_mean=_floats(latent.mean(axis=0)),
        latent_std=_floats(latent.std(axis=0)),
        latent_ks=tuple(ks_distance(column) for column in latent.T),
        box_exits=float(outside.mean()),
    )


def ks_distance(values: FloatArray) -> float:
    """Kolmogorov-Smirnov distance between values (N,) and N(0, 1), 0 to 1.

    Example:
        >>> ks_distance(np.zeros(10, np.float32))
        0.5
    """
    if not len(values):
        raise InvalidArgumentError("Expected at least one value, got none.")
    expected = ndtr(np.sort(np.float64(values)))
    steps = np.arange(len(values) + 1) / len(values)
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


_ROWS_AT_ONCE = 2_048


def _log_prob(prior: ActionPrior, decided: Decisions) -> FloatArray:
    """Log densities (M,); with a memory those of the features that have it."""
    of_features = None
    if isinstance(prior, OffersMemory):
        of_features = getattr(prior, "log_prob_features", None)
        if of_features is None:
            raise NotOfferedError("a prior with memory needs log_prob_features to be measured")
    parts = []
    for start in range(0, len(decided.at), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        if of_features is not None:
            parts.append(of_features(decided.actions[rows], decided.features[rows]))
        else:
            seen = decided.at.take(np.arange(len(decided.at))[rows]).observations
            parts.append(prior.log_prob(decided.actions[rows], seen))
    return np.concatenate(parts)


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
