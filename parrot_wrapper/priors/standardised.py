"""What priors share whose latent has the shape of the actions that it drives."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from parrot_wrapper.checks import require_instance
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.trainable import Batch
from parrot_wrapper.types import FloatArray

MOST_STEPS = 16
"""Of a chunk."""

_Chunked = TypeVar("_Chunked", bound="ReplannedChunks")


def check_chunks(config: PriorConfig, horizon: int, replan: bool) -> None:
    """Refuse a horizon that is none, and a choice that is neither True nor False."""
    require_at_least("horizon", horizon, 1)
    if horizon > MOST_STEPS:
        raise InvalidArgumentError(
            f"horizon must be at most {MOST_STEPS}, got {horizon!r}: a latent has horizon x "
            f"{config.action_dim} dimensions. Whole episodes are what kind 'trajectory' is for."
        )
    require_instance("replan", replan, bool, "True or False")


class StandardisedPrior(EncoderPrior):
    """Base of priors over H actions at once, standardised, with a latent as long: Z = H A."""

    action_mean: Tensor
    action_std: Tensor

    def _add_scale(self) -> None:
        self.register_buffer("action_mean", torch.zeros(self.latent_dim))
        self.register_buffer("action_std", torch.ones(self.latent_dim))

    @property
    def latent_dim(self) -> int:
        """Z, equal to H A."""
        return self.horizon * self.config.action_dim

    def set_action_scale(self, mean: Tensor, std: Tensor) -> None:
        """Set the standardisation of actions, (H A,) each, std > 0; from data by `fit_prior`."""
        self.action_mean.copy_(mean)
        self.action_std.copy_(std)

    def fit_action_scale(self, action: Tensor) -> None:
        """Set the standardisation to the mean and spread of actions (N, A), chunks (N, H, A)."""
        wide = action.double().flatten(1)
        low, high = (torch.from_numpy(e).to(wide).repeat(self.horizon) for e in self.action_bounds)
        least = 1e-3 * (high - low)  # a constant dimension must not blow up
        used = wide.amax(dim=0) - wide.amin(dim=0)
        # A box may be far larger than anything that is ever done in it.
        varies = used > 1e-5 * wide.abs().amax(dim=0)
        least = torch.where(varies, torch.minimum(least, used), least)
        std = torch.maximum(wide.std(dim=0, correction=0), least)
        self.set_action_scale(wide.mean(dim=0), std)

    def prepare(self, sample: Batch) -> None:
        """Take the action scale and the encoder's statistics from the data."""
        self.fit_action_scale(sample["action"])
        super().prepare(sample)

    def _chunked(self, flat: Tensor) -> Tensor:
        """Actions (B, A) of flat ones, or chunks (B, H, A)."""
        return flat if self.horizon == 1 else flat.view(len(flat), self.horizon, self.action_dim)


class ReplannedChunks(StandardisedPrior):
    """Base of priors of chunks that can plan anew before each action.

    Its config has `horizon` and `replan`. Replanned, a prior executes a chunk with a receding
    horizon: each of the H actions is the first of the chunk that the same latent is decoded to for
    the newest observation. `decode`, `encode` and `log_prob` are those of the plan made at the
    first.
    """

    @property
    def closed_loop(self) -> bool:
        """Whether `decode_step` is how chunks are executed."""
        return bool(self.config.replan)  # type: ignore[attr-defined]  # of the subclass's config

    def replanned(self: _Chunked, replan: bool = True) -> _Chunked:
        """The same prior, weights shared, with another `replan`.

        Example:
            >>> from parrot_wrapper.priors import ChunkFlowPrior, ChunkFlowPriorConfig
            >>> from parrot_wrapper.types import ObservationSpec
            >>> config = ChunkFlowPriorConfig(ObservationSpec(state=4), 2, "state", horizon=3)
            >>> ChunkFlowPrior(config).replanned().closed_loop
            True
        """
        twin = copy.copy(self)
        twin.config = replace(self.config, replan=replan)  # type: ignore[call-arg]  # of the subclass's config
        return twin

    def decode_step(
        self, z: FloatArray, first: FloatArray, newest: FloatArray, step: int
    ) -> FloatArray:
        """See `parrot_wrapper.types.DecodesClosedLoop`."""
        planned: FloatArray = self.decode_features(z, newest)[:, 0]
        return planned
