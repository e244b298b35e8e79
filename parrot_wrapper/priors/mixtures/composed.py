"""Two priors as one: their mixture, or their product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture, log_prob_features
from parrot_wrapper.priors.mixtures.reweighted import ReweightedConfig, ReweightedMixture
from parrot_wrapper.priors.mixtures.settings import MixtureConfig
from parrot_wrapper.types import (
    KEYS_FACT,
    SEES_FACT,
    ActionPrior,
    FloatArray,
    Observations,
    OffersMemory,
)


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
class ProductConfig(ReweightedConfig, OtherConfig):
    """Settings of `ProductMixture`.

    Attributes:
        of: Name or folder of the other prior.
        share: The other prior's exponent w, in (0, 1); that of the first is 1 - w.
        candidates: See `ReweightedConfig`.

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.
    """

    name: ClassVar[str] = "product"
    share: float = 0.5


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

    def _log_prob_other(self, action: FloatArray, features: FloatArray) -> NDArray[np.float64]:
        return self._densities(action, features)[1]

    def _densities(
        self, action: FloatArray, features: FloatArray
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log densities (B,) of actions (B, A) under both priors."""
        one = log_prob_features(self.prior, action, self._known(features))
        two = log_prob_features(self.other, action, self._others(features))
        return one.astype(np.float64), two.astype(np.float64)


class ProductMixture(ReweightedMixture, OtherMixture):
    """The normalised product p^(1 - w) q^w of two priors: what both find likely.

    Of all densities r it has the least (1 - w) KL(r || p) + w KL(r || q), so that an agent behind
    it is regularised to both priors at once. It is p reweighted by (q / p)^w, see
    `ReweightedMixture`, and the product itself as far as there are enough candidates. Arguments and
    errors as of `OtherMixture`.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> config = FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state")
        >>> product = ProductMixture(FlowPrior(config), of=FlowPrior(config, seed=1))
        >>> product.latent_dim
        3
    """

    config_class = ProductConfig
    config: ProductConfig

    def _weights(self, actions: FloatArray, features: FloatArray, rows: int) -> NDArray[np.float64]:
        one, two = self._densities(actions, features)
        logs = (self.config.share * (two - one)).reshape(rows, -1)
        weights: NDArray[np.float64] = np.exp(logs - logs.max(axis=1, keepdims=True))
        return weights


def _interface(prior: ActionPrior) -> tuple[object, ...]:
    sight = [prior.metadata.get(fact) for fact in (KEYS_FACT, SEES_FACT)]
    return prior.action_dim, str(prior.observation_spec), *sight
