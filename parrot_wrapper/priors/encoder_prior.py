"""What all priors share: an encoder, a config, a folder on disk, and the NumPy boundary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from itertools import chain
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, SpaceMismatchError
from parrot_wrapper.priors.arrays import (
    as_float_array,
    as_tensor,
    observation_arrays,
    rows_at_once,
    vectors,
)
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.description import described
from parrot_wrapper.priors.encoders import Encoder, build_encoder, for_acting, sight_of
from parrot_wrapper.priors.encoders.base import ActingEncoder
from parrot_wrapper.priors.folded import Folded
from parrot_wrapper.priors.trainable import (
    FEATURES_KEY,
    Batch,
    DataShapes,
    Trainable,
    checked_options,
    sight_facts,
    single_steps,
)
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.types import FloatArray, Observations, ObservationSpec

_EMBED_AT_ONCE = 512
"""Observations embedded in one pass at the NumPy boundary; bounds the memory of long batches."""
_Prior = TypeVar("_Prior", bound="EncoderPrior")
_FEW = 4
"""Batches up to this size are embedded by the encoder's form for acting."""


class EncoderPrior(Trainable):
    """Base of all priors: implements `parrot_wrapper.types.ActionPrior` over a few tensor methods.

    A subclass sets `type_tag` and `config_class`, makes its layers in `_add_layers`, and writes
    `latent_dim`, `losses`, and those of `_decode`, `_encode` and `_log_prob` that it has. At the
    NumPy boundary it is frozen and in eval mode. Weights depend on `config` and `seed` only.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights (env id, camera, data hash, metrics).

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations, or the config is of
            another kind of prior.
    """

    config_class: ClassVar[type[PriorConfig]]
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
        self.looks = self.looks and bool(self.encoder.reads)
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
        return described(self)

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
    def bijective(self) -> bool:
        """Whether each action has one latent: KL accounts are exact then, else upper bounds."""
        return False

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
    def encoder_digest(self) -> str:
        """SHA-256 of the encoder, in hexadecimal: equal only where features are."""
        config = self.config
        cameras = sorted(config.observation.cameras)
        made = [config.encoder, dict(config.encoder_options), *([cameras] if cameras else [])]
        made += [facts] if (facts := sight_facts(self)) else []
        kind = json.dumps(made, sort_keys=True)
        digest = hashlib.sha256(kind.encode())
        for name, tensor in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    # What training asks of it -----------------------------------------------------------------

    @classmethod
    def for_data(
        cls: type[_Prior],
        dataset: DataShapes,
        *,
        shared: EncoderPrior | None = None,
        seed: int = 0,
        encoder: str = "auto",
        proprio: bool = True,
        state: bool = True,
        image_keys: tuple[str, ...] = (),
        sees: tuple[str, ...] | None = None,
        **options: Any,
    ) -> _Prior:
        """One that fits a data set's observations, actions and action box, untrained.

        Args:
            dataset: What it will learn from, or features of it (`FeatureCache`).
            shared: A prior whose encoder it carries; its features are not trained.
            seed: Seed of the initial weights.
            encoder: Name of the observation encoder; "auto" is "state" for data without images,
                else the default of the kind. Parts that it does not read are left aside.
            proprio: Look at proprioception too, where the data have it.
            state: The same for the state vector. Beside an image it may hold what only a simulator
                knows; the env has to supply all that the prior looks at.
            image_keys: Which of the data's images to look at, by name; all where left out.
            sees: Which of the data's observations to look at, by name, as
                `EpisodeDataset.seeing`; none of them where it is empty, all where it is left out.
            **options: Further fields of its config.

        Raises:
            UnknownNameError: No such encoder, option or image; the nearest is named.
            InvalidArgumentError: A value is outside its range, or the kind shares no encoder.

        Example:
            >>> from parrot_wrapper.data import EpisodeDataset
            >>> from parrot_wrapper.priors import FlowPrior
            >>> data = EpisodeDataset.from_arrays([[0.0], [0.1]], [[0.2, 0.3]], [1])
            >>> FlowPrior.for_data(data, hidden=32).config.hidden
            32
        """
        if sees is not None:
            dataset, encoder = dataset.seeing(sees), encoder if sees else "nothing"
        low, high = (tuple(edge.tolist()) for edge in dataset.action_bounds)
        left_out = [part for part, wanted in (("proprio", proprio), ("state", state)) if not wanted]
        if shared is None:
            if encoder == "auto" and dataset.observation_spec.images:
                kind = {entry.name: entry.default for entry in fields(cls.config_class)}["encoder"]
                encoder = str(kind)
            own = options.get("encoder_options", {})
            seen = sight_of(encoder, dataset, left_out, image_keys, own)
        else:
            seen = cls._shared_sight(shared.config)
            own = (left_out, image_keys, options.get("encoder_options"), sees is not None)
            if encoder != "auto" or any(own):
                raise InvalidArgumentError(
                    "Expected no encoder, encoder_options, proprio, state, image_keys or sees "
                    "beside a shared encoder, which has its own. Leave out one or the other."
                )
        box = {"action_dim": dataset.action_dim, "action_low": low, "action_high": high}
        known = [entry.name for entry in fields(cls.config_class)]
        config = cls.config_class(**checked_options(cls, {**options, **seen, **box}, known))
        prior = cls(config, seed=seed)
        if shared is not None:
            prior.encoder.load_state_dict(shared.encoder.state_dict())
        prior.set_metadata(sight_facts(dataset if shared is None else shared))
        return prior

    @classmethod
    def _shared_sight(cls, config: PriorConfig) -> dict[str, Any]:
        if not cls.shares_encoder:
            raise InvalidArgumentError(
                f"A prior of type {cls.type_tag!r} is an encoder: expected none to share, got one."
            )
        names = ("observation", "encoder", "encoder_options")
        return {name: getattr(config, name) for name in names}

    def labels(self, dataset: DataShapes) -> dict[str, FloatArray]:
        """What the encoder's own losses learn from, made of the data, unless features are given."""
        return self.encoder.labels(dataset) if self._sees(dataset) else {}

    def lessons(self, dataset: DataShapes) -> list[str]:
        """What the encoder's own losses learn from, in words."""
        return self.encoder.lessons(dataset) if self._sees(dataset) else []

    def gaps(self, dataset: DataShapes) -> list[str]:
        """What the data lack for these."""
        return self.encoder.gaps(dataset) if self._sees(dataset) else []

    def prepare(self, sample: Batch) -> None:
        """Set the encoder's statistics from the data, unless its features are given."""
        if FEATURES_KEY not in sample:
            self.encoder.initialise(single_steps(sample) if self.observes == "all" else sample)

    def expects(self, given: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Shapes of one step of the data; with "features" given these stand for observations."""
        action: dict[str, tuple[int, ...]] = {"action": (self.action_dim,)}
        if not self.looks:
            return action
        if FEATURES_KEY in given and self.shares_encoder:
            return {**action, FEATURES_KEY: (self.encoder.feature_dim,)}
        return {**action, **self.config.observation.parts}

    def _seen(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Features (B, F) as a head sees them in training, and what `_auxiliary` needs.

        Perturbed in training; those of a frozen encoder, where the batch has them.
        """
        wide, features, maps = self._like.dtype, batch.get(FEATURES_KEY), None
        if features is None:
            shown = self.encoder.augment(batch, generator) if self.training else batch
            features, maps = self.encoder.training_features(shown)
            maps = {k: v.to(wide) if v.is_floating_point() else v for k, v in maps.items()}
        features = features.to(wide)
        return self.encoder.perturb(features, generator) if self.training else features, maps

    def _auxiliary(
        self, maps: dict[str, Tensor] | None, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The encoder's own losses, where it is trained."""
        return {} if maps is None else self.encoder.auxiliary_losses(maps, batch, generator)

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
        most = rows_at_once(self.config.observation, _EMBED_AT_ONCE)
        chunks = [
            encoder(
                {k: as_tensor(part[start : start + most], like.device) for k, part in parts.items()}
            ).to(like.dtype)
            for start in range(0, max(size, 1), most)
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

    def changed_features(
        self, change: Callable[[Tensor], tuple[Tensor, ...]], features: FloatArray
    ) -> tuple[FloatArray, ...]:
        """What a function makes of the tensor of features (B, F): one array for each it returns."""
        with self._frozen():
            return tuple(as_float_array(made) for made in change(self._embedded(features)))
