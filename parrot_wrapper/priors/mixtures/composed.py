"""Two priors as one: their mixture, or their product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from parrot_wrapper.checks import require_count
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture, log_prob_features
from parrot_wrapper.priors.mixtures.settings import MixtureConfig
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import (
    KEYS_FACT,
    SEES_FACT,
    ActionPrior,
    FloatArray,
    Observations,
    OffersMemory,
)

_EDGE = 2.0**-40
"""Quantiles of noise stay within this and 1 minus this."""


@dataclass(frozen=True)
class OtherConfig(MixtureConfig):
    """Settings of `OtherMixture`.

    Attributes:
        of: Name or folder of the other prior.
        share: Share of the other prior, in (0, 1).

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.
    """

    name: ClassVar[str] = "other"
    of: str = ""
    share: float = 0.5


@dataclass(frozen=True)
class ProductConfig(OtherConfig):
    """Settings of `ProductMixture`.

    Attributes:
        of: Name or folder of the other prior.
        share: The other prior's exponent w, in (0, 1); that of the first is 1 - w.
        candidates: N, at least 2; more come closer to the product and take longer.

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.
    """

    name: ClassVar[str] = "product"
    candidates: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("candidates", self.candidates, least=2)


class OtherMixture(PriorMixture):
    """A mixture of two priors, (1 - e) p(a|s) + e q(a|s); mixtures of mixtures have more.

    The agent sets the latent that decides, so which prior acts where is learned with the rest, and
    paid for in the same nats: KL(decision || e) and the KL to the prior that was chosen (priors
    that are arbitrated, as APC-RL has them; 2601.19452). The account is that of `PriorMixture`.

    Both priors look at the same. Features are those of both, one behind the other.

    Args:
        prior: p, of horizon 1 and without memory.
        of: q, of the same actions: a name, a folder or a live prior.
        **settings: Further fields of the `config_class`.

    Raises:
        InvalidArgumentError: A value is outside its range, or a prior has a longer horizon or a
            memory.
        SpaceMismatchError: The priors have other actions or look at other things.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state")
        >>> mixture = OtherMixture(FlowPrior(config), of=FlowPrior(config, seed=1), share=0.25)
        >>> mixture.latent_dim, mixture.feature_dim
        (3, 8)
    """

    config_class = OtherConfig
    config: OtherConfig

    def __init__(self, prior: ActionPrior, *, of: str | ActionPrior, **settings: Any) -> None:
        super().__init__(prior, of=of if isinstance(of, str) else "", **settings)
        if isinstance(of, str):
            from parrot_wrapper.priors.loading import load_prior  # brings torch

            of = load_prior(of)
        if of.horizon != 1 or isinstance(of, OffersMemory):
            raise InvalidArgumentError("Expected a second prior of horizon 1 and without memory.")
        one, two = _interface(prior), _interface(of)
        if one != two:
            raise SpaceMismatchError(
                f"Expected two priors of the same actions that look at the same, got {one} and "
                f"{two}."
            )
        self.other = of

    @property
    def latent_dim(self) -> int:
        """Z: the larger of both priors', and one that decides."""
        return max(self.prior.latent_dim, self.other.latent_dim) + 1

    @property
    def feature_dim(self) -> int:
        """F, of both priors."""
        return self.prior.feature_dim + self.other.feature_dim

    def features(self, obs: Observations) -> FloatArray:
        """Features (B, F) of both priors."""
        return np.concatenate([self.prior.features(obs), self.other.features(obs)], axis=1)

    def share(self, features: FloatArray) -> NDArray[np.float64]:
        """Share e of the other prior (B,), the same everywhere."""
        return np.full(len(features), self.config.share)

    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Log density of actions (B, A) under both together, in nats: (B,)."""
        return self.log_prob_features(action, self.features(obs))

    def _others(self, features: FloatArray) -> FloatArray:
        return np.ascontiguousarray(features[:, self.prior.feature_dim :])

    def _decode_other(self, z: FloatArray, features: FloatArray) -> FloatArray:
        own = np.ascontiguousarray(z[:, : self.other.latent_dim])
        return self.other.decode_features(own, self._others(features))

    def _encode_other(self, action: FloatArray, features: FloatArray) -> FloatArray:
        return self.other.encode_features(action, self._others(features))

    def _is_other(
        self, action: FloatArray, own: FloatArray, features: FloatArray
    ) -> NDArray[np.bool_]:
        """Those that the other prior is likelier to have made."""
        one, two = self._densities(action, features)
        likelier: NDArray[np.bool_] = np.log(self.config.share) + two > (
            np.log1p(-self.config.share) + one
        )
        return likelier

    def _log_prob_other(self, action: FloatArray, features: FloatArray) -> FloatArray:
        return self._densities(action, features)[1]

    def _densities(
        self, action: FloatArray, features: FloatArray
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log densities (B,) of actions (B, A) under both priors."""
        one = log_prob_features(self.prior, action, self._known(features))
        two = log_prob_features(self.other, action, self._others(features))
        return one.astype(np.float64), two.astype(np.float64)


class ProductMixture(OtherMixture):
    """The normalised product p^(1 - w) q^w of two priors: what both find likely.

    Of all densities r it has the least (1 - w) KL(r || p) + w KL(r || q), so that an agent behind
    it is regularised to both priors at once. Noise of p is one of N candidates, which a lattice
    lays over all of N(0, I); one more latent draws among them by (q / p)^w. So what
    N(0, I) executes has the density

        r(a) = p(a) v(a) / mean of v over the candidates of a,  v = (q / p)^w,

    which `log_prob` tells exactly; with more candidates the mean becomes the product's constant.
    With 0 as its last latent each candidate is its own, so that `encode` is exact. The account of
    the KL is an upper bound, as of all mixtures. Arguments and errors as of `OtherMixture`.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state")
        >>> product = ProductMixture(FlowPrior(config), of=FlowPrior(config, seed=1))
        >>> product.latent_dim
        3
    """

    config_class = ProductConfig
    config: ProductConfig

    @property
    def latent_dim(self) -> int:
        """Z: the first prior's, and one that draws among candidates."""
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
        """Base noise (B, Z) of actions (B, A): the first prior's, and 0."""
        action, features = self._actions(action), self._embedded(features)
        own = self.prior.encode_features(action, self._known(features))
        return np.concatenate([own, np.zeros_like(own[:, :1])], axis=1)

    @quiet_floats()
    def log_prob_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """Log density of actions (B, A) under what N(0, I) executes, in nats: (B,)."""
        action, features = self._actions(action), self._embedded(features)
        own = self.prior.encode_features(action, self._known(features))
        weights = self._candidates(own, features)[1]
        one, _ = self._densities(action, features)
        told: NDArray[np.float64] = one + np.log(weights[:, 0] * self.config.candidates)
        return told.astype(np.float32)

    def _candidates(
        self, z: FloatArray, features: FloatArray
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Actions (B, N, A) and weights (B, N) of the candidates of noise (B, Z - 1)."""
        count, dim = self.config.candidates, z.shape[1]
        moved = ndtr(z.astype(np.float64))[:, None] + lattice(count, dim)
        noise = ndtri(np.clip(moved % 1.0, _EDGE, 1.0 - _EDGE)).astype(np.float32)
        noise[:, 0] = z
        seen = np.repeat(features, count, axis=0)
        actions = self.prior.decode_features(noise.reshape(-1, dim), self._known(seen))
        one, two = self._densities(actions, seen)
        logs = (self.config.share * (two - one)).reshape(len(z), count)
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return actions.reshape(len(z), count, -1), weights / weights.sum(axis=1, keepdims=True)


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
    steps = [next(k for k in range(step, step + count) if math.gcd(k, count) == 1) for step in wanted]
    points: NDArray[np.float64] = np.outer(np.arange(count), steps) % count / count
    return points


def _interface(prior: ActionPrior) -> tuple[object, ...]:
    sight = [prior.metadata.get(fact) for fact in (KEYS_FACT, SEES_FACT)]
    return prior.action_dim, str(prior.observation_spec), *sight
