"""A way out for a prior that never saw what a task needs: a mixture with a broad one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from parrot_wrapper.checks import index_array, number_array
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture
from parrot_wrapper.priors.mixtures.settings import MixtureConfig
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import ActionPrior, FloatArray

_REACH = 3.0
"""`encode` takes actions beyond so many standard deviations of the prior for broad ones."""


@dataclass(frozen=True)
class BroadConfig(MixtureConfig):
    """Settings of `BroadMixture`.

    Attributes:
        share: Largest share of uniform actions, in (0, 1).
        idle: How small a motion counts as rest, > 0; None for the same share everywhere.
        motion: Action dimensions that move something; None for all.
        spread: Half-width of the uniform action in each dimension, as a share of the box's, in
            (0, 1]; one number or one for each action dimension.

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.

    Example:
        >>> BroadConfig(share=0.8, idle=0.12, motion=[0, 1, 2])
        BroadConfig(share=0.8, idle=0.12, motion=(0, 1, 2), spread=(1.0,))
    """

    name: ClassVar[str] = "broad"
    idle: float | None = None
    motion: tuple[int, ...] | None = None
    spread: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        spread = number_array("spread", self.spread, InvalidArgumentError).astype(np.float64)
        object.__setattr__(self, "spread", tuple(spread.reshape(-1).tolist()))
        if self.motion is not None:
            motion = index_array("motion", self.motion).tolist()
            object.__setattr__(self, "motion", tuple(motion))
        super().__post_init__()
        if self.idle is not None and not 0.0 < self.idle < np.inf:
            raise InvalidArgumentError(f"idle must be positive and finite, got {self.idle!r}.")
        if not all(0.0 < width <= 1.0 for width in self.spread):
            raise InvalidArgumentError(f"spread must be in (0, 1], got {self.spread!r}.")


class BroadMixture(PriorMixture):
    """A prior that sometimes does a uniform action: p'(a|s) = (1 - e(s)) p(a|s) + e(s) U(a).

    A flow gives next to no mass to what its data never had, such as letting go if all it saw was
    taking hold; an agent in its latent space then never does it (the mismatch of Singh et al. 2021,
    figure 7). Here one more latent dimension decides between the prior and a uniform action in the
    action box (a defensive mixture, Hesterberg 1995; a broad prior to arbitrate with, as APC-RL
    does). The account of the KL is that of `PriorMixture`.

    The share e(s) is `share` everywhere, or, with `idle`, `share` where the prior would rest and
    less where it would move: `share * exp(-(m / idle)^2)`, where m is the norm of its median
    action f(0; s) over the dimensions `motion`, in half-widths of the action box. A prior that has
    finished what it knows leaves the arm to the agent; while it works, it is not disturbed.

    Args:
        prior: Of horizon 1.
        **settings: Fields of `BroadConfig`.

    Raises:
        InvalidArgumentError: A value is outside its range, or the prior is of a longer horizon.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state"))
        >>> mixture = BroadMixture(prior, share=0.25)
        >>> mixture.latent_dim, mixture.action_dim
        (3, 2)
        >>> z = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
        >>> state = np.zeros((1000, 4), np.float32)
        >>> changed = mixture.decode(z, state) != prior.decode(z[:, :2], state)
        >>> float(changed.all(axis=1).mean())
        0.25
    """

    config_class = BroadConfig
    config: BroadConfig

    def __init__(self, prior: ActionPrior, **settings: Any) -> None:
        super().__init__(prior, **settings)
        dim, motion, spread = prior.action_dim, self.config.motion, self.config.spread
        self._motion = list(range(dim) if motion is None else motion)
        if not self._motion or not all(0 <= index < dim for index in self._motion):
            raise InvalidArgumentError(
                f"motion must be action dimensions from 0 to {dim - 1}, got {motion!r}."
            )
        if len(spread) not in (1, dim):
            raise SpaceMismatchError(f"spread: expected one number or {dim}, got {spread!r}.")
        low, high = (edge.astype(np.float64) for edge in prior.action_bounds)
        self._middle, self._box_half = (low + high) / 2, (high - low) / 2
        self._half = self._box_half * np.array(spread)

    @property
    def latent_dim(self) -> int:
        """Z: the prior's, or A if that is more, and one that decides between the two."""
        return max(self.prior.latent_dim, self.prior.action_dim) + 1

    @quiet_floats()
    def share(self, features: FloatArray) -> NDArray[np.float64]:
        """Share e(s) of uniform actions (B,) for features (B, F)."""
        most, idle = self.config.share, self.config.idle
        if idle is None:
            return np.full(len(features), most)
        rest = np.zeros((len(features), self.prior.latent_dim), np.float32)
        median = (self.prior.decode_features(rest, features) - self._middle) / self._box_half
        motion = np.linalg.norm(median[:, self._motion], axis=1)
        share: NDArray[np.float64] = most * np.exp(-np.square(motion / idle))
        return share

    def _decode_other(self, z: FloatArray, features: FloatArray) -> NDArray[np.float64]:
        where = 2.0 * ndtr(np.asarray(z[:, : self.action_dim], np.float64)) - 1.0
        action: NDArray[np.float64] = self._middle + self._half * where
        return action

    def _encode_other(self, action: FloatArray, features: FloatArray) -> NDArray[np.float64]:
        """Actions beyond the broad box are brought into it."""
        where = np.clip((action - self._middle) / self._half, -1.0, 1.0)
        z: NDArray[np.float64] = ndtri((where + 1.0) / 2.0)
        return z

    def _is_other(
        self, action: FloatArray, own: FloatArray, features: FloatArray
    ) -> NDArray[np.bool_]:
        """Those that are not within three standard deviations of the prior."""
        far: NDArray[np.bool_] = np.abs(own).max(axis=1) > _REACH
        return far

    def _log_prob_other(self, action: FloatArray, features: FloatArray) -> NDArray[np.float64]:
        inside = (np.abs(action - self._middle) <= self._half).all(axis=1)
        return np.where(inside, -np.log(2.0 * self._half).sum(), -np.inf)
