"""The flow prior: a conditional RealNVP over single actions, given what an encoder sees.

Direction, stated once: *encode* takes an action a to base noise z, *decode* takes z to a, and
`log p(a|s) = log N(z; 0, I) + log|det dz/da|`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from parrot_wrapper.errors import SpaceMismatchError
from parrot_wrapper.priors.arrays import as_float_array, as_tensor, observation_arrays, vectors
from parrot_wrapper.priors.checkpoint import save_prior
from parrot_wrapper.priors.config import FlowPriorConfig
from parrot_wrapper.priors.coupling import CouplingStack
from parrot_wrapper.priors.encoders import build_encoder
from parrot_wrapper.types import FloatArray, Observations, ObservationSpec

_EMBED_AT_ONCE = 512
"""Observations embedded in one pass at the NumPy boundary; bounds the memory of long batches."""


class FlowPrior(nn.Module):
    """Behavioural prior after PARROT (Singh et al. 2021, section 4): a = f(z; s), invertible in z.

    Implements `parrot_wrapper.types.ActionPrior` (NumPy arrays, batches, frozen and in eval mode)
    and beside it a torch side (`*_tensor`) for training. Letters: B batch, A action dim = Z latent
    dim, F feature dim, C context dim. Weights depend on `config` and `seed` only.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights (env id, camera, data hash, metrics).

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> config = FlowPriorConfig(ObservationSpec(state=4), action_dim=2, encoder="state")
        >>> prior = FlowPrior(config)
        >>> state, z = np.zeros((3, 4), np.float32), np.ones((3, 2), np.float32)
        >>> action = prior.decode(z, state)
        >>> np.allclose(prior.encode(action, state), z, atol=1e-5)
        True
        >>> prior.log_prob(action, state).shape
        (3,)
    """

    type_tag: ClassVar[str] = "flow"
    action_mean: Tensor
    action_std: Tensor

    def __init__(
        self,
        config: FlowPriorConfig,
        *,
        seed: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self._metadata = dict(metadata or {})
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.default_generator.manual_seed(seed)
            self.encoder = build_encoder(config.encoder, config.observation, config.encoder_options)
            self.flow = CouplingStack(
                config.action_dim,
                context_dim=self.encoder.context_dim,
                layers=config.coupling_layers,
                hidden=config.hidden,
                hidden_layers=config.hidden_layers,
                log_scale_bound=config.log_scale_bound,
            )
        self.register_buffer("action_mean", torch.zeros(config.action_dim))
        self.register_buffer("action_std", torch.ones(config.action_dim))
        self.eval()

    @property
    def latent_dim(self) -> int:
        """Z, equal to A for a flow."""
        return self.config.action_dim

    @property
    def action_dim(self) -> int:
        """A, the number of action dimensions."""
        return self.config.action_dim

    @property
    def horizon(self) -> int:
        """1: a latent drives one env step."""
        return 1

    @property
    def feature_dim(self) -> int:
        """F, the length of the encoder's features."""
        return self.encoder.feature_dim

    @property
    def observation_spec(self) -> ObservationSpec:
        """What the prior looks at."""
        return self.config.observation

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) float32 of the action box that the prior was trained in."""
        low = np.array(self.config.action_low, np.float32)
        return low, np.array(self.config.action_high, np.float32)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON-able facts kept beside the weights; read-only."""
        return MappingProxyType(self._metadata)

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replace the facts that `save` writes beside the weights; JSON-able."""
        self._metadata = dict(metadata)

    def set_action_scale(self, mean: Tensor, std: Tensor) -> None:
        """Set the standardisation of actions, (A,) each, std > 0; done by `fit_prior` from data."""
        self.action_mean.copy_(mean)
        self.action_std.copy_(std)

    # The torch side -----------------------------------------------------------------------------

    def encode_tensor(self, action: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (B, A) given contexts (B, C) to noise z (B, A) and log|det dz/da| (B,)."""
        standard = (action - self.action_mean) / self.action_std
        z, log_det = self.flow.encode(standard, context)
        return z, log_det - self.action_std.log().sum()

    def decode_tensor(self, z: Tensor, context: Tensor) -> Tensor:
        """Noise (B, A) given contexts (B, C) to actions (B, A); the inverse of `encode_tensor`."""
        return self.flow.decode(z, context) * self.action_std + self.action_mean

    def log_prob_tensor(self, action: Tensor, context: Tensor) -> Tensor:
        """Log density of actions (B, A) given contexts (B, C), in nats: (B,)."""
        z, log_det = self.encode_tensor(action, context)
        return log_det - 0.5 * (z.square() + math.log(2.0 * math.pi)).sum(dim=1)

    # The NumPy side -----------------------------------------------------------------------------

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Eval mode and no gradients; gives the mode back."""
        was_training = self.training
        if was_training:
            self.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            if was_training:
                self.train()

    def _embed(self, obs: Observations) -> Tensor:
        parts = observation_arrays(obs, self.config.observation)
        size = len(next(iter(parts.values())))
        chunks = [
            self.encoder(
                {
                    key: as_tensor(part[start : start + _EMBED_AT_ONCE], self.action_mean.device)
                    for key, part in parts.items()
                }
            ).to(self.action_mean.dtype)
            for start in range(0, max(size, 1), _EMBED_AT_ONCE)
        ]
        return torch.cat(chunks) if len(chunks) > 1 else chunks[0]

    def _vectors(self, name: str, values: FloatArray, length: int, rows: int) -> Tensor:
        tensor = vectors(name, values, length, like=self.action_mean)
        if len(tensor) != rows:
            raise SpaceMismatchError(
                f"{name}: expected one row for each of the {rows} observations, got {len(tensor)}."
            )
        return tensor

    def _features(self, features: FloatArray) -> Tensor:
        return vectors("features", features, self.feature_dim, like=self.action_mean)

    def _decode(self, z: FloatArray, features: Tensor) -> FloatArray:
        latent = self._vectors("latent", z, self.latent_dim, len(features))
        return as_float_array(self.decode_tensor(latent, self.encoder.context(features)))

    def _encode(self, action: FloatArray, features: Tensor) -> FloatArray:
        actions = self._vectors("action", action, self.action_dim, len(features))
        return as_float_array(self.encode_tensor(actions, self.encoder.context(features))[0])

    def features(self, obs: Observations) -> FloatArray:
        """Embed observations: (B, F) float32.

        Raises:
            SpaceMismatchError: The observations are not what the prior was trained on.
        """
        with self._frozen():
            return as_float_array(self._embed(obs))

    def decode(self, z: FloatArray, obs: Observations) -> FloatArray:
        """Map base noise (B, Z) to actions (B, A) float32, before any clipping.

        Raises:
            LatentError: z has the wrong shape or is not finite.
            SpaceMismatchError: The observations do not fit the prior, or not z's batch.
        """
        with self._frozen():
            return self._decode(z, self._embed(obs))

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        """`decode` for features (B, F) of observations that are embedded already."""
        with self._frozen():
            return self._decode(z, self._features(features))

    def encode(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Invert `decode`: actions (B, A) to base noise (B, Z) float32.

        Raises:
            InvalidArgumentError: The actions have the wrong shape or are not finite.
            SpaceMismatchError: The observations do not fit the prior, or not the actions' batch.
        """
        with self._frozen():
            return self._encode(action, self._embed(obs))

    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`encode` for features (B, F) of observations that are embedded already."""
        with self._frozen():
            return self._encode(action, self._features(features))

    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Log density of actions (B, A) under the prior, in nats: (B,) float32.

        Raises:
            InvalidArgumentError: The actions have the wrong shape or are not finite.
            SpaceMismatchError: The observations do not fit the prior, or not the actions' batch.
        """
        with self._frozen():
            features = self._embed(obs)
            actions = self._vectors("action", action, self.action_dim, len(features))
            return as_float_array(self.log_prob_tensor(actions, self.encoder.context(features)))

    def save(self, folder: str | Path) -> None:
        """Write the prior to `folder` (JSON and safetensors), whole or not at all."""
        save_prior(self, folder)
