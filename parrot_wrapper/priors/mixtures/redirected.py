"""A way out for a prior that can grasp and never saw a placement: it carries as it reaches."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import ActionPrior, FloatArray


class RedirectablePrior(ActionPrior, Protocol):
    """A prior whose features say what is where, so that they can be changed with sense."""

    def log_prob_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`log_prob` for observations that are embedded already."""

    def redirected(self, features: FloatArray, *, above: float) -> tuple[FloatArray, FloatArray]:
        """Features of an empty hand that is to reach for the container, and whether it holds."""


class RedirectedMixture(PriorMixture):
    """While it holds something, the prior also reaches for the container, the gripper mirrored.

    p'(a|s) = (1 - e(s)) p(a|s) + e(s) p(m(a) | r(s)). The features r(s) tell the prior that its
    hand is empty and that the only thing to grasp is where the container is, some centimetres up;
    m mirrors the gripper's command in the action box. So the reaching that a prior of grasping
    knows carries what it holds to the container, and where it would close its hand, the hand opens:
    placing is composed of what grasping taught (Singh et al. 2021, figure 7, has no way out of this
    mismatch). e(s) is `share` times how surely something is held, by the features. The account of
    the KL is that of `PriorMixture`; densities and inverses are exact.

    Args:
        prior: Of horizon 1, with features of the `structured` encoder, such as a `FlowPrior`.
        share: Largest share of the redirected prior, in (0, 1).
        above: How far above the container's middle it reaches, in metres, so that what hangs in the
            hand does not run into the container.
        gripper: Action dimension of the gripper, which closes and opens to opposite sides of the
            middle of its range.

    Raises:
        InvalidArgumentError: A value is outside its range, or the prior is of a longer horizon.
        NotOfferedError: The prior's features do not say what is where.

    Example:
        >>> from parrot_wrapper import load_prior
        >>> mixture = RedirectedMixture(load_prior("parrot-v0"), share=0.8)
        >>> mixture.latent_dim, mixture.action_dim
        (8, 7)
    """

    prior: RedirectablePrior

    def __init__(
        self, prior: ActionPrior, *, share: float = 0.8, above: float = 0.04, gripper: int = -1
    ) -> None:
        super().__init__(prior, share)
        if not isinstance(above, int | float) or not np.isfinite(above):
            raise InvalidArgumentError(f"above must be a finite number of metres, got {above!r}.")
        if gripper not in range(-prior.action_dim, prior.action_dim):
            raise InvalidArgumentError(
                f"gripper must be one of {prior.action_dim} action dimensions, got {gripper!r}."
            )
        if not hasattr(prior, "redirected"):
            raise NotOfferedError(
                "Expected a prior whose features say what is where, such as a FlowPrior with the "
                f"'structured' encoder, got {type(prior).__name__}."
            )
        self._above, self._gripper = float(above), gripper
        low, high = prior.action_bounds
        self._twice_middle = low + high
        self._redirected(np.zeros((1, prior.feature_dim), np.float32))  # it is offered, or says so

    @quiet_floats()
    def share(self, features: FloatArray) -> NDArray[np.float64]:
        """Share e(s) of the redirected prior (B,) for features (B, F)."""
        held: NDArray[np.float64] = self._share * self._redirected(features)[1].astype(np.float64)
        return held

    def _decode_other(self, z: FloatArray, features: FloatArray) -> FloatArray:
        seen = self._redirected(features)[0]
        return self._mirrored(self.prior.decode_features(z[:, : self.prior.latent_dim], seen))

    def _encode_other(self, action: FloatArray, features: FloatArray) -> FloatArray:
        return self.prior.encode_features(self._mirrored(action), self._redirected(features)[0])

    def _is_other(
        self, action: FloatArray, own: FloatArray, features: FloatArray
    ) -> NDArray[np.bool_]:
        """Those that the redirected prior is likelier to have made."""
        share = self.share(features)
        known = np.log1p(-share) + self.prior.log_prob_features(action, features)
        with np.errstate(divide="ignore"):  # where nothing is held
            return np.log(share) + self._log_prob_other(action, features) > known

    def _log_prob_other(self, action: FloatArray, features: FloatArray) -> FloatArray:
        seen = self._redirected(features)[0]
        return self.prior.log_prob_features(self._mirrored(action), seen)

    def _redirected(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.prior.redirected(features, above=self._above)

    def _mirrored(self, action: FloatArray) -> FloatArray:
        mirrored: NDArray[Any] = np.array(action, np.float32)
        mirrored[:, self._gripper] *= -1.0
        mirrored[:, self._gripper] += self._twice_middle[self._gripper]
        return mirrored
