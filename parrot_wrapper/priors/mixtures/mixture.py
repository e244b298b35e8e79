"""What mixtures of a prior with another way to act share: one more latent dimension decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from parrot_wrapper.checks import number_array
from parrot_wrapper.errors import InvalidArgumentError, LatentError, NotOfferedError, ParrotError
from parrot_wrapper.priors.mixtures.settings import MixtureConfig
from parrot_wrapper.priors.registry import MIXTURES
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import (
    ActionPrior,
    FloatArray,
    Observations,
    ObservationSpec,
    OffersMemory,
)


class PriorMixture:
    """Base of mixtures of a prior p with another density q: (1 - e(s)) p(a|s) + e(s) q(a|s).

    The last latent dimension decides between the two; base noise z ~ N(0, I) gives exactly the
    mixture. With the Gaussian chart max-entropy RL is then KL-regularised RL to it, with the KL of
    (which of the two, action), an upper bound of that of the action alone. A subclass sets
    `config_class`, by whose `name` it is known at once, and writes `share` and the methods that end
    in `_other`.

    Args:
        prior: p, of horizon 1.
        **settings: Fields of the `config_class`.

    Raises:
        InvalidArgumentError: A value is outside its range, or the prior is of a longer horizon or
            has a memory.
    """

    config_class: ClassVar[type[MixtureConfig]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "config_class" in cls.__dict__:
            MIXTURES.add(cls.config_class.name, cls)

    def __init__(self, prior: ActionPrior, **settings: Any) -> None:
        if prior.horizon != 1:
            raise InvalidArgumentError(
                f"Expected a prior of horizon 1, got one of {prior.horizon}: a chunk has no single "
                "moment at which to do something else."
            )
        if isinstance(prior, OffersMemory):
            raise InvalidArgumentError("Expected a prior without memory, which a mixture lacks.")
        self.prior, self.config = prior, self.config_class(**settings)

    @property
    def latent_dim(self) -> int:
        """Z: the prior's, and one that decides between the two."""
        return self.prior.latent_dim + 1

    @property
    def action_dim(self) -> int:
        """A, the prior's."""
        return self.prior.action_dim

    @property
    def horizon(self) -> int:
        """1."""
        return 1

    @property
    def feature_dim(self) -> int:
        """F, the prior's."""
        return self.prior.feature_dim

    @property
    def observation_spec(self) -> ObservationSpec:
        """What the prior looks at."""
        return self.prior.observation_spec

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) of the action box."""
        return self.prior.action_bounds

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The prior's."""
        return self.prior.metadata

    def share(self, features: FloatArray) -> NDArray[np.float64]:
        """Share e(s) of the other density (B,) for features (B, F)."""
        raise NotImplementedError

    def features(self, obs: Observations) -> FloatArray:
        """The prior's features (B, F)."""
        return self.prior.features(obs)

    def decode(self, z: FloatArray, obs: Observations) -> FloatArray:
        """Map base noise (B, Z) to actions (B, A), before any clipping."""
        return self.decode_features(z, self.features(obs))

    @quiet_floats()
    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        """`decode` for features (B, F) of observations that are embedded already."""
        z, features = self._noise(z), self._embedded(features)
        known = self.prior.decode_features(z[:, : self.prior.latent_dim], self._known(features))
        decides = ndtr(np.asarray(z[:, -1:], np.float64)) > 1.0 - self.share(features)[:, None]
        return np.where(decides, self._decode_other(z, features), known).astype(np.float32)

    def encode(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Base noise (B, Z) that decodes to actions (B, A); see `encode_features`."""
        return self.encode_features(action, self.features(obs))

    @quiet_floats()
    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """Base noise (B, Z) of actions (B, A) for features (B, F).

        The deciding dimension is put in the middle of what decides so.
        """
        action, features = self._actions(action), self._embedded(features)
        own = self.prior.encode_features(action, self._known(features))
        is_other, share = self._is_other(action, own, features), self.share(features)
        z = np.zeros((len(action), self.latent_dim))
        z[:, : own.shape[1]] = own
        if is_other.any():
            other = self._encode_other(action[is_other], features[is_other])
            z[is_other, : other.shape[1]] = other
        z[:, -1] = ndtri(np.where(is_other, 1.0 - share / 2.0, (1.0 - share) / 2.0))
        return z.astype(np.float32)

    @quiet_floats()
    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Log density of actions (B, A) under the mixture, in nats: (B,)."""
        action = self._actions(action)
        return self._mixed(self.prior.log_prob(action, obs), action, self.features(obs))

    @quiet_floats()
    def log_prob_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`log_prob` for features (B, F) of observations that are embedded already.

        Raises:
            NotOfferedError: The prior does not tell densities for features.
        """
        action, features = self._actions(action), self._embedded(features)
        known = log_prob_features(self.prior, action, self._known(features))
        return self._mixed(known, action, features)

    def _mixed(self, known: FloatArray, action: FloatArray, features: FloatArray) -> FloatArray:
        share = self.share(features)
        with np.errstate(divide="ignore"):  # where there is none of the other
            other = np.log(share) + self._log_prob_other(action, features)
        mixed: NDArray[np.float64] = np.logaddexp(np.log1p(-share) + known, other)
        return mixed.astype(np.float32)

    def _known(self, features: FloatArray) -> FloatArray:
        """Those of the features (B, F) that are the prior's."""
        return features[:, : self.prior.feature_dim]

    def _noise(self, z: FloatArray) -> FloatArray:
        return _rows("latent", z, self.latent_dim, LatentError)

    def _actions(self, action: FloatArray) -> FloatArray:
        return _rows("action", action, self.action_dim, InvalidArgumentError)

    def _embedded(self, features: FloatArray) -> FloatArray:
        return _rows("features", features, self.feature_dim, InvalidArgumentError)

    def _decode_other(self, z: FloatArray, features: FloatArray) -> NDArray[np.floating[Any]]:
        """Actions (B, A) of the other for base noise (B, Z)."""
        raise NotImplementedError

    def _encode_other(self, action: FloatArray, features: FloatArray) -> NDArray[np.floating[Any]]:
        """Base noise (B, Z - 1 at most) with which the other makes actions (B, A)."""
        raise NotImplementedError

    def _is_other(
        self, action: FloatArray, own: FloatArray, features: FloatArray
    ) -> NDArray[np.bool_]:
        """Which actions (B, A), noise `own` for the prior, `encode` takes for the other's: (B,)."""
        raise NotImplementedError

    def _log_prob_other(
        self, action: FloatArray, features: FloatArray
    ) -> NDArray[np.floating[Any]]:
        """Log density of actions (B, A) under the other: (B,)."""
        raise NotImplementedError


def log_prob_features(prior: ActionPrior, action: FloatArray, features: FloatArray) -> FloatArray:
    """Log density of actions (B, A) for features (B, F) under a prior, in nats: (B,)."""
    told: FloatArray
    if not hasattr(prior, "log_prob_features"):
        raise NotOfferedError(
            "Expected a prior that tells densities for features, such as a FlowPrior, got "
            f"{type(prior).__name__}."
        )
    told = prior.log_prob_features(action, features)
    return told


def _rows(name: str, values: FloatArray, length: int, error: type[ParrotError]) -> FloatArray:
    rows = number_array(name, values, error)
    if rows.ndim != 2 or rows.shape[1] != length:
        raise error(f"{name}: expected shape (B, {length}), got {rows.shape}; add a batch axis.")
    return rows
