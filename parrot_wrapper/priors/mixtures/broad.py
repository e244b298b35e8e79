"""A way out for a prior that never saw what a task needs: a mixture with a broad one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from parrot_wrapper.checks import index_array, is_number, number_array
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import ActionPrior, FloatArray

_REACH = 3.0
"""`encode` takes actions beyond so many standard deviations of the prior for broad ones."""


class BroadMixture(PriorMixture):
    """A prior that sometimes does a uniform action: p'(a|s) = (1 - e(s)) p(a|s) + e(s) U(a).

    A flow gives next to no mass to what its data never had, such as opening the hand over a
    container if all it saw was grasping; an agent in its latent space then never does it (the
    mismatch of Singh et al. 2021, figure 7). Here one more latent dimension decides between the
    prior and a uniform action in the action box (a defensive mixture, Hesterberg 1995; a broad
    prior to arbitrate with, as APC-RL does). The account of the KL is that of `PriorMixture`.

    The share e(s) is `share` everywhere, or, with `idle`, `share` where the prior would rest and
    less where it would move: `share * exp(-(m / idle)^2)`, where m is the norm of its median
    action f(0; s) over the dimensions `motion`, in half-widths of the action box. A prior that has
    finished what it knows leaves the arm to the agent; while it works, it is not disturbed.

    Args:
        prior: Of horizon 1.
        share: Largest share of uniform actions, in (0, 1).
        idle: How small a motion counts as rest, > 0; None for the same share everywhere.
        motion: Action dimensions that move something; None for all.
        spread: Half-width of the uniform action in each dimension, as a share of the box's, in
            (0, 1]; one number or one for each action dimension.

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

    def __init__(
        self,
        prior: ActionPrior,
        *,
        share: float = 0.1,
        idle: float | None = None,
        motion: Sequence[int] | None = None,
        spread: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__(prior, share)
        if idle is not None and not (is_number(idle) and 0.0 < idle < np.inf):
            raise InvalidArgumentError(f"idle must be positive and finite, got {idle!r}.")
        self._idle = idle
        self._motion = _checked_motion(motion, prior.action_dim)
        low, high = (edge.astype(np.float64) for edge in prior.action_bounds)
        self._middle, half = (low + high) / 2, (high - low) / 2
        self._half = half * _checked_spread(spread, prior.action_dim)
        self._box_half = half

    @property
    def latent_dim(self) -> int:
        """Z: the prior's, or A if that is more, and one that decides between the two."""
        return max(self.prior.latent_dim, self.prior.action_dim) + 1

    @quiet_floats()
    def share(self, features: FloatArray) -> NDArray[np.float64]:
        """Share e(s) of uniform actions (B,) for features (B, F)."""
        if self._idle is None:
            return np.full(len(features), self._share)
        rest = np.zeros((len(features), self.prior.latent_dim), np.float32)
        median = (self.prior.decode_features(rest, features) - self._middle) / self._box_half
        motion = np.linalg.norm(median[:, self._motion], axis=1)
        share: NDArray[np.float64] = self._share * np.exp(-np.square(motion / self._idle))
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


def parse_broad(text: str, prior: ActionPrior) -> BroadMixture:
    """The mixture that a text names: "0.1", or "0.8 idle=0.12 motion=0,1,2 spread=1,1,1,0.1".

    Raises:
        InvalidArgumentError: The text is no such thing, or a value is outside its range.

    Example:
        >>> from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
        >>> prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=4), 2, encoder="state"))
        >>> parse_broad("0.5 idle=0.2 motion=0", prior).latent_dim
        3
    """
    number = r"\d+(?:\.\d+)?"
    numbers = rf"{number}(?:,{number})*"
    pattern = rf"({number})(?: idle=({number}))?(?: motion=(\d+(?:,\d+)*))?(?: spread=({numbers}))?"
    found = re.fullmatch(pattern, text.strip())
    if found is None:
        raise InvalidArgumentError(
            "Expected a share of uniform actions such as '0.1', or '0.8 idle=0.12 motion=0,1,2 "
            f"spread=1,1,1,0.1,0.1,0.1,1', got {text!r}."
        )
    share, idle, motion, spread = found.groups()
    spreads = [float(part) for part in spread.split(",")] if spread else [1.0]
    return BroadMixture(
        prior,
        share=float(share),
        idle=float(idle) if idle else None,
        motion=[int(part) for part in motion.split(",")] if motion else None,
        spread=spreads[0] if len(spreads) == 1 else spreads,
    )


def _checked_motion(motion: Sequence[int] | None, dim: int) -> list[int]:
    chosen = list(range(dim)) if motion is None else index_array("motion", motion).tolist()
    if not chosen or not all(0 <= index < dim for index in chosen):
        raise InvalidArgumentError(
            f"motion must be action dimensions from 0 to {dim - 1}, got {motion!r}."
        )
    return chosen


def _checked_spread(spread: float | Sequence[float], dim: int) -> NDArray[np.float64]:
    wide = number_array("spread", spread, InvalidArgumentError).astype(np.float64)
    if wide.shape not in ((), (dim,)):
        raise SpaceMismatchError(f"spread: expected one number or {dim}, got {spread!r}.")
    if not ((wide > 0.0) & (wide <= 1.0)).all():
        raise InvalidArgumentError(f"spread must be in (0, 1], got {spread!r}.")
    return np.broadcast_to(wide, (dim,))
