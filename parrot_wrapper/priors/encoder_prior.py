"""What all priors share: an encoder, a config, a folder on disk, and the NumPy boundary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, SpaceMismatchError
from parrot_wrapper.priors.arrays import as_float_array, as_tensor, observation_arrays, vectors
from parrot_wrapper.priors.checkpoint import save_prior
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.encoders import Encoder, build_encoder, for_acting
from parrot_wrapper.priors.encoders.base import ActingEncoder
from parrot_wrapper.priors.folded import Folded
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.types import FloatArray, Observations, ObservationSpec

_EMBED_AT_ONCE = 512
"""Observations embedded in one pass at the NumPy boundary; bounds the memory of long batches."""
_Prior = TypeVar("_Prior", bound="EncoderPrior")
_FEW = 4
"""Batches up to this size are embedded by the encoder's form for acting."""


class EncoderPrior(nn.Module):
    """Base of all priors: implements `parrot_wrapper.types.ActionPrior` over a few tensor methods.

    A subclass sets `type_tag` and `config_class`, makes its layers in `_add_layers`, and writes
    those of `_decode`, `_encode` and `_log_prob` that its kind has. At the NumPy boundary it is
    frozen and in eval mode. Weights depend on `config` and `seed` only.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights (env id, camera, data hash, metrics).

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations, or the config is of
            another kind of prior.
    """

    type_tag: ClassVar[str]
    config_class: ClassVar[type[PriorConfig]]
    looks: ClassVar[bool] = True
    """Whether actions depend on the observation; where not, an env need not supply it."""
    config: PriorConfig
    encoder: Encoder

    def __init__(
        self, config: PriorConfig, *, seed: int = 0, metadata: Mapping[str, Any] | None = None
    ) -> None:
        if not isinstance(config, self.config_class):
            raise InvalidArgumentError(
                f"{type(self).__name__} expects a {self.config_class.__name__}, got {config!r}."
            )
        super().__init__()
        self.config = config
        self._metadata = dict(metadata or {})
        # torch's layers draw from the global generator
        with own_surroundings(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.encoder = build_encoder(config.encoder, config.observation, config.encoder_options)
            self._add_layers()
        self._acting_encoder = Folded(for_acting)
        self.eval()

    def train(self: _Prior, mode: bool = True) -> _Prior:
        """Set training or eval mode; weights may change from now on."""
        if mode:
            self._forget_forms()
        return super().train(mode)

    def requires_grad_(self: _Prior, requires_grad: bool = True) -> _Prior:
        """Let the weights train, or freeze them, which makes acting quicker."""
        self._forget_forms()
        return super().requires_grad_(requires_grad)

    def _apply(self: _Prior, *args: Any, **options: Any) -> _Prior:
        """All that moves or casts weights; in inference mode they could never train again."""
        with own_surroundings():
            super()._apply(*args, **options)  # type: ignore[no-untyped-call]
        return self

    def _forget_forms(self) -> None:
        self._acting_encoder.forget()

    def __repr__(self) -> str:
        """What it is, in a few lines; `print(prior.encoder)` shows layers."""
        edges = [sorted({f"{edge:g}" for edge in bound}) for bound in self.action_bounds]
        box = f"[{edges[0][0]}, {edges[1][0]}]" if max(map(len, edges)) == 1 else "a box"
        chunk = (self.horizon,) if self.horizon > 1 else ()
        size = sum(weights.numel() for weights in self.parameters())
        encoder = f"a {self.config.encoder!r} encoder with {self.feature_dim} features"
        return "\n  ".join(
            [
                f"{type(self).__name__}: action {(*chunk, self.action_dim)} in {box}",
                f"sees: {self.observation_spec}; {encoder}",
                f"size: {size:,} parameters",
                *self._learned(),
            ]
        )

    def _learned(self) -> Iterator[str]:
        """What the metadata say of the data and of the fit."""
        facts = {key: self._metadata.get(key) for key in ("data", "metrics")}
        data, metrics = (value if isinstance(value, dict) else {} for value in facts.values())
        if "episodes" in data:
            source = f" of {self._metadata['env_id']}" if "env_id" in self._metadata else ""
            yield f"learned from: {data['episodes']:,} episodes{source}"
        if "validation_nll" in metrics:
            yield f"NLL of held-out episodes: {metrics['validation_nll']:.2f} nats a step"

    def _add_layers(self) -> None:
        """Make everything beside the encoder; drawn from the same seed."""

    @property
    def latent_dim(self) -> int:
        """Z, the number of base-noise dimensions."""
        raise NotImplementedError

    @property
    def action_dim(self) -> int:
        """A, the number of action dimensions."""
        return self.config.action_dim

    @property
    def horizon(self) -> int:
        """Env steps that one latent drives."""
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

    @property
    def encoder_digest(self) -> str:
        """SHA-256 of the encoder, in hexadecimal: equal only where features are."""
        kind = json.dumps([self.config.encoder, dict(self.config.encoder_options)], sort_keys=True)
        digest = hashlib.sha256(kind.encode())
        for name, tensor in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write the prior to `folder` (JSON and safetensors), whole or not at all."""
        save_prior(self, folder)

    # What a kind of prior has of these, it writes ----------------------------------------------

    def _decode(self, z: Tensor, features: Tensor) -> Tensor:
        raise NotOfferedError(f"A prior of type {self.type_tag!r} makes no actions.")

    def _encode(self, action: Tensor, features: Tensor) -> Tensor:
        raise NotOfferedError(f"A prior of type {self.type_tag!r} cannot encode actions.")

    def _log_prob(self, action: Tensor, features: Tensor) -> Tensor:
        raise NotOfferedError(f"A prior of type {self.type_tag!r} has no density.")

    # The NumPy side -----------------------------------------------------------------------------

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Eval mode, no gradients, nothing of the caller's surroundings; gives the mode back."""
        was_training = self.training
        if was_training:
            self.eval()
        try:
            with own_surroundings(), torch.inference_mode():
                yield
        finally:
            if was_training:
                self.train()

    @property
    def _like(self) -> Tensor:
        """A tensor of the weights' dtype and device."""
        return next(chain(self.parameters(), self.buffers()))

    @property
    def _folds(self) -> bool:
        """Whether forms for acting serve: where they were measured, and without gradients."""
        like = self._like
        return (
            torch.is_inference_mode_enabled()
            and like.dtype == torch.float32
            and like.device.type == "cpu"
        )

    def _encoder_for(self, rows: int) -> ActingEncoder:
        folded = self._acting_encoder.of(self.encoder) if rows <= _FEW and self._folds else None
        return self.encoder if folded is None else folded

    def _embed(self, obs: Observations) -> Tensor:
        parts = observation_arrays(obs, self.config.observation)
        size, like = len(next(iter(parts.values()))), self._like
        encoder = self._encoder_for(size)
        chunks = [
            encoder(
                {
                    key: as_tensor(part[start : start + _EMBED_AT_ONCE], like.device)
                    for key, part in parts.items()
                }
            ).to(like.dtype)
            for start in range(0, max(size, 1), _EMBED_AT_ONCE)
        ]
        return torch.cat(chunks) if len(chunks) > 1 else chunks[0]

    def _rows(self, name: str, values: FloatArray, shape: tuple[int, ...], rows: int) -> Tensor:
        tensor = vectors(name, values, shape, like=self._like)
        if len(tensor) != rows:
            raise SpaceMismatchError(
                f"{name}: expected one row for each of the {rows} observations, got {len(tensor)}."
            )
        return tensor

    def _embedded(self, features: FloatArray) -> Tensor:
        return vectors("features", features, (self.feature_dim,), like=self._like)

    def _decoded(self, z: FloatArray, features: Tensor) -> FloatArray:
        latent = self._rows("latent", z, (self.latent_dim,), len(features))
        return as_float_array(self._decode(latent, features))

    def _actions(self, action: FloatArray, features: Tensor) -> Tensor:
        one = (self.action_dim,)
        shape = one if self.horizon == 1 else (self.horizon, *one)
        return self._rows("action", action, shape, len(features))

    def features(self, obs: Observations) -> FloatArray:
        """Embed observations: (B, F) float32.

        Raises:
            SpaceMismatchError: The observations are not what the prior was trained on.
        """
        with self._frozen():
            return as_float_array(self._embed(obs))

    def decode(self, z: FloatArray, obs: Observations) -> FloatArray:
        """Map base noise (B, Z) to actions float32, before any clipping.

        Returns:
            (B, A), or (B, H, A) where the horizon H is more than one step.

        Raises:
            LatentError: z has the wrong shape or is not finite.
            SpaceMismatchError: The observations do not fit the prior, or not z's batch.
            NotOfferedError: This kind of prior makes no actions.
        """
        with self._frozen():
            return self._decoded(z, self._embed(obs))

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        """`decode` for features (B, F) of observations that are embedded already."""
        with self._frozen():
            return self._decoded(z, self._embedded(features))

    def encode(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Invert `decode`: actions (B, A), or (B, H, A), to base noise (B, Z) float32.

        Raises:
            InvalidArgumentError: The actions have the wrong shape or are not finite.
            SpaceMismatchError: The observations do not fit the prior, or not the actions' batch.
            NotOfferedError: This kind of prior cannot.
        """
        with self._frozen():
            features = self._embed(obs)
            return as_float_array(self._encode(self._actions(action, features), features))

    def encode_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`encode` for features (B, F) of observations that are embedded already."""
        with self._frozen():
            embedded = self._embedded(features)
            return as_float_array(self._encode(self._actions(action, embedded), embedded))

    def log_prob(self, action: FloatArray, obs: Observations) -> FloatArray:
        """Log density of actions (B, A) under the prior, in nats: (B,) float32.

        Raises:
            InvalidArgumentError: The actions have the wrong shape or are not finite.
            SpaceMismatchError: The observations do not fit the prior, or not the actions' batch.
            NotOfferedError: This kind of prior has no density.
        """
        with self._frozen():
            features = self._embed(obs)
            return as_float_array(self._log_prob(self._actions(action, features), features))

    def log_prob_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        """`log_prob` for features (B, F) of observations that are embedded already."""
        with self._frozen():
            embedded = self._embedded(features)
            return as_float_array(self._log_prob(self._actions(action, embedded), embedded))

    def redirected(self, features: FloatArray, *, above: float) -> tuple[FloatArray, FloatArray]:
        """Features (B, F) of an empty hand that is to reach `above` metres over the container.

        And how surely something is in the hand, (B,) in [0, 1].

        Raises:
            NotOfferedError: The encoder's features do not say what is where.
        """
        with self._frozen():
            other, held = self.encoder.redirected(self._embedded(features), above)
            return as_float_array(other), as_float_array(held)
