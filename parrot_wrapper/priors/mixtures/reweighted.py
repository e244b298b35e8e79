"""A prior whose actions are weighted anew, such as one that keeps to its likeliest actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from parrot_wrapper.checks import require_count
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture, log_prob_features
from parrot_wrapper.priors.mixtures.settings import MixtureConfig
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import FloatArray, Observations

_EDGE = 2.0**-40
"""Quantiles of noise stay within this and 1 minus this."""


@dataclass(frozen=True)
class ReweightedConfig(MixtureConfig):
    """What settings of `ReweightedMixture` are derived from.

    Attributes:
        candidates: N, at least 2; more are more exact, and take longer.

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.
    """

    candidates: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("candidates", self.candidates, least=2)


class ReweightedMixture(PriorMixture):
    """Base of priors r(a|s) in proportion to p(a|s) v(a, s), for weights v >= 0.

    Noise of p is one of N candidates, which a `lattice` lays over all of N(0, I); one more latent
    draws among them by their weights. So what N(0, I) executes has the density

        r(a) = p(a) v(a) / mean of v over the candidates of a,

    which `log_prob` tells exactly; with more candidates the mean becomes the constant by which
    p v is divided. With 0 as its last latent each candidate of a weight above 0 is its own, so that
    `encode` is exact. The account of the KL is an upper bound, as of all mixtures.
    """

    @property
    def latent_dim(self) -> int:
        """Z: the prior's, and one that draws among candidates."""
        return self.prior.latent_dim + 1

    @quiet_floats()
    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        """`decode` for features (B, F) of observations that are embedded already."""
        z, features = self._noise(z), self._embedded(features)
        actions, weights = self._candidates(z[:, :-1], features)
        # the first candidate's share lies around the median
        drawn = (ndtr(z[:, -1].astype(np.float64)) - 0.5 + 0.5 * weights[:, 0]) % 1.0
        chosen = (drawn[:, None] >= np.cumsum(weights, axis=1)[:, :-1]).sum(axis=1)
        found: FloatArray = actions[np.arange(len(z)), chosen]
        return found

    @quiet_floats()
    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """Base noise (B, Z) of actions (B, A): the prior's, and 0."""
        action, features = self._actions(action), self._embedded(features)
        own = self.prior.encode_features(action, self._known(features))
        return np.concatenate([own, np.zeros_like(own[:, :1])], axis=1)

    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Log density of actions (B, A) under what N(0, I) executes, in nats: (B,)."""
        return self.log_prob_features(action, self.features(obs))

    @quiet_floats()
    def log_prob_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`log_prob` for features (B, F) of observations that are embedded already."""
        action, features = self._actions(action), self._embedded(features)
        known = self._known(features)
        _, weights = self._candidates(self.prior.encode_features(action, known), features)
        with np.errstate(divide="ignore"):  # of weight 0
            more = np.log(weights[:, 0] * weights.shape[1])
        told: NDArray[np.float64] = log_prob_features(self.prior, action, known) + more
        return told.astype(np.float32)

    def _candidates(
        self, z: FloatArray, features: FloatArray
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Actions (B, N, A) and shares (B, N) of the candidates of the prior's noise z."""
        assert isinstance(self.config, ReweightedConfig)
        count, dim = self.config.candidates, z.shape[1]
        moved = ndtr(z.astype(np.float64))[:, None] + lattice(count, dim)
        noise = ndtri(np.clip(moved % 1.0, _EDGE, 1.0 - _EDGE)).astype(np.float32)
        noise[:, 0] = z
        seen = np.repeat(features, count, axis=0)
        actions = self.prior.decode_features(noise.reshape(-1, dim), self._known(seen))
        weights = self._weights(actions, seen, len(z))
        return actions.reshape(len(z), count, -1), weights / weights.sum(axis=1, keepdims=True)

    def _weights(self, actions: FloatArray, features: FloatArray, rows: int) -> NDArray[np.float64]:
        """Weights (rows, N), up to a factor, of candidates: actions (rows N, A)."""
        raise NotImplementedError


@dataclass(frozen=True)
class LikelyConfig(ReweightedConfig):
    """Settings of `LikelyMixture`.

    Attributes:
        share: Of the prior's mass, the likeliest part of it, that is kept, in (0, 1).
        candidates: N, at least 2; of these round(share N) are kept.

    Raises:
        InvalidArgumentError: A value is of another type or outside its range, or nothing or
            everything is kept.
    """

    name: ClassVar[str] = "likely"
    share: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.kept < self.candidates:
            raise InvalidArgumentError(
                f"Expected a share that keeps 1 to {self.candidates - 1} of {self.candidates} "
                f"candidates, got {self.share}, which keeps {self.kept}. Take another share, or "
                "more candidates."
            )

    @property
    def kept(self) -> int:
        """How many candidates are kept."""
        return round(self.share * self.candidates)


class LikelyMixture(ReweightedMixture):
    """A prior without its unlikeliest actions: a bound on its log-likelihood.

    Of N candidates of each noise the round(share N) with the highest log p(a|s) are kept, with
    equal weight. So exactly the mass m = round(share N) / N of the prior is left, and samples are
    those of the prior on it; the KL to the whole prior is log(1 / m) more. With more candidates
    what is left becomes the set {a: log p(a|s) >= c(s)} of that mass. The chart `ball:m` bounds the
    noise instead, which is cheaper, and the same where the flow stretches noise evenly.

    Args:
        prior: p, of horizon 1, without memory, that tells densities for features.
        **settings: Fields of `LikelyConfig`.

    Raises:
        InvalidArgumentError: A value is outside its range, nothing or everything is kept, or the
            prior has a longer horizon or a memory.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state"))
        >>> LikelyMixture(prior, share=0.9).config.kept
        18
    """

    config_class = LikelyConfig
    config: LikelyConfig

    def _weights(self, actions: FloatArray, features: FloatArray, rows: int) -> NDArray[np.float64]:
        logs = log_prob_features(self.prior, actions, self._known(features)).reshape(rows, -1)
        order = np.argsort(-logs, axis=1, kind="stable")
        weights = np.zeros(logs.shape)
        np.put_along_axis(weights, order[:, : self.config.kept], 1.0, axis=1)
        return weights


def lattice(count: int, dim: int) -> NDArray[np.float64]:
    """Points (count, dim) of a lattice in the unit cube; modulo 1 they are a group.

    Its steps are those of Roberts' sequence, made coprime to `count`, so that each dimension has
    each multiple of 1 / count once.

    Example:
        >>> lattice(4, 2)[:, 0].tolist()
        [0.0, 0.75, 0.5, 0.25]
    """
    ratio = 2.0
    for _ in range(64):
        ratio = (1.0 + ratio) ** (1.0 / (dim + 1))
    wanted = [round(count * ratio ** -(index + 1.0)) for index in range(dim)]
    steps = [
        next(k for k in range(step, step + count) if math.gcd(k, count) == 1) for step in wanted
    ]
    points: NDArray[np.float64] = np.outer(np.arange(count), steps) % count / count
    return points
