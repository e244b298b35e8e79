"""A way out for a prior that can grasp and never saw a placement: it carries as it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError
from parrot_wrapper.priors.mixtures.mixture import PriorMixture
from parrot_wrapper.priors.mixtures.settings import MixtureConfig
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import ActionPrior, FloatArray

if TYPE_CHECKING:  # the command line asks for the settings alone, and has no need of torch
    from parrot_wrapper.priors.encoder_prior import EncoderPrior


@dataclass(frozen=True)
class RedirectedConfig(MixtureConfig):
    """Settings of `RedirectedMixture`.

    Attributes:
        share: Largest share of the redirected prior, in (0, 1).
        above: How far above the container's middle it reaches, in metres, so that what hangs in the
            hand does not run into the container.
        gripper: Action dimension of the gripper, which closes and opens to opposite sides of the
            middle of its range.

    Raises:
        InvalidArgumentError: A value is of another type or outside its range.
    """

    name: ClassVar[str] = "redirected"
    share: float = 0.8
    above: float = 0.04
    gripper: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.above):
            raise InvalidArgumentError(f"above must be finite, in metres, got {self.above!r}.")


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
        **settings: Fields of `RedirectedConfig`.

    Raises:
        InvalidArgumentError: A value is outside its range, or the prior is of a longer horizon.
        NotOfferedError: The prior's features do not say what is where.

    Example:
        >>> from parrot_wrapper import load_prior
        >>> mixture = RedirectedMixture(load_prior("parrot-v0"), share=0.8)
        >>> mixture.latent_dim, mixture.action_dim
        (8, 7)
    """

    config_class = RedirectedConfig
    config: RedirectedConfig
    prior: EncoderPrior

    def __init__(self, prior: ActionPrior, **settings: Any) -> None:
        super().__init__(prior, **settings)
        if self.config.gripper not in range(-prior.action_dim, prior.action_dim):
            raise InvalidArgumentError(
                f"gripper must be one of {prior.action_dim} action dimensions, got "
                f"{self.config.gripper!r}."
            )
        encoder = getattr(prior, "encoder", None)
        if not hasattr(encoder, "redirected"):
            name = getattr(encoder, "name", "none")
            raise NotOfferedError(
                "Expected a prior whose features say what is where, such as a FlowPrior with the "
                f"'structured' encoder, got {type(prior).__name__} with the encoder {name!r}."
            )
        low, high = prior.action_bounds
        self._twice_middle = low + high
        self._redirected(np.zeros((1, prior.feature_dim), np.float32))  # it is offered, or says so

    @quiet_floats()
    def share(self, features: FloatArray) -> NDArray[np.float64]:
        """Share e(s) of the redirected prior (B,) for features (B, F)."""
        held: NDArray[np.float64] = self.config.share * self._redirected(features)[1].astype(
            np.float64
        )
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
        encoder: Any = self.prior.encoder
        change = partial(encoder.redirected, above=self.config.above)
        other, held = self.prior.changed_features(change, features)
        return other, held

    def _mirrored(self, action: FloatArray) -> FloatArray:
        mirrored: NDArray[Any] = np.array(action, np.float32)
        mirrored[:, self.config.gripper] *= -1.0
        mirrored[:, self.config.gripper] += self._twice_middle[self.config.gripper]
        return mirrored
