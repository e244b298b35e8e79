"""An SB3 SAC actor that imitates data: its folder on disk, and how SAC starts from it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.sac.policies import Actor
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.checks import as_path, is_number
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, require_known
from parrot_wrapper.priors.arrays import as_float_array, vectors
from parrot_wrapper.priors.checkpoint import HEADER_FILE, WEIGHTS_FILE, read_prior
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.encoders import Encoder
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.priors.trainable import (
    FEATURES_KEY,
    PAPER,
    Batch,
    DataShapes,
    Trainable,
    checked_options,
)
from parrot_wrapper.rl.model import PaperConvolutions
from parrot_wrapper.rl.normed_activation import LayerNormReLU
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.types import FloatArray, ObservationSpec

EDGE = 0.99
"""Actions are cloned within this share of their box: tanh reaches its edges at infinity only."""
_RUN_SUBFOLDERS = ("prior", "actor")
"""Where a training run keeps what came out of it, and where a cloning run did before."""


@dataclass(frozen=True)
class ClonedActorConfig:
    """What decides an actor's network and what it may stand in for.

    Attributes:
        action_low: Lower edge of the env's action box, length A.
        action_high: Upper edge of the env's action box, length A.
        features_dim: F, length of the features that it sees; 0 for one that sees images.
        encoder_sha256: Digest of the encoder whose features they are; empty for images.
        image: Shape (H, W, C) of the images that it sees through the paper's convolutions, or None.
        net_arch: Hidden widths.
        layer_norm: Layer normalisation in every hidden layer.
        entropy: Weight of the policy's entropy, in nats, that training rewards.

    Raises:
        UnknownNameError: `from_dict` met a key that this version does not know.
        InvalidArgumentError: entropy is outside [0, 1).
    """

    FROM_DATA: ClassVar = (
        "action_low", "action_high", "features_dim", "encoder_sha256", "image",
    )  # fmt: skip

    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    features_dim: int = 0
    encoder_sha256: str = ""
    image: tuple[int, int, int] | None = None
    net_arch: tuple[int, ...] = (256, 256)
    layer_norm: bool = True
    entropy: float = 0.01

    def __post_init__(self) -> None:
        if not is_number(self.entropy) or not 0 <= self.entropy < 1:
            raise InvalidArgumentError(f"entropy must be in [0, 1), got {self.entropy!r}.")

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClonedActorConfig:
        """The inverse of `to_dict`; unknown keys are refused by name."""
        known = [entry.name for entry in fields(cls)]
        require_known("actor setting", values, known)
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**plain)


class ClonedActor(Trainable):
    """Stock SB3's SAC actor, a tanh-Gaussian policy, to be fitted to data and handed to SAC.

    Trained by likelihood and an entropy bonus (PARROT, appendix B), by `fit_prior` as priors are;
    it is none: there is no latent.

    Args:
        config: Network and action box.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights.

    Example:
        >>> config = ClonedActorConfig((-2.0,), (2.0,), features_dim=3, net_arch=(8,))
        >>> action = ClonedActor(config).predict(np.zeros((5, 3), np.float32))
        >>> action.shape, bool((abs(action) <= 2.0).all())
        ((5, 1), True)
    """

    type_tag: ClassVar[str] = "bc"
    config_class: ClassVar[type[Any]] = ClonedActorConfig
    config: ClonedActorConfig
    recipes: ClassVar = MappingProxyType(
        {
            "laptop": {
                "learning_rate": 1e-3, "ema_decay": 0.0, "patience": 0, "precision": "float32",
            },
            "paper": {
                **PAPER, "steps": 2_000_000, "learning_rate": 3e-4,
                "net_arch": (1024, 512, 256), "layer_norm": False,
            },
        }
    )  # fmt: skip

    def __init__(
        self,
        config: ClonedActorConfig,
        *,
        seed: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self._metadata = dict(metadata or {})
        low = np.array(config.action_low, np.float32)
        high = np.array(config.action_high, np.float32)
        self._middle: FloatArray = (low + high) / np.float32(2)
        self._half_width: FloatArray = (high - low) / np.float32(2)
        self._seen_by: tuple[Encoder, ...] = ()  # in a tuple, so that it is no part of the actor
        # torch's layers draw from the global generator
        with own_surroundings(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.actor = _make_actor(config, spaces.Box(low, high))
        self.eval()

    @classmethod
    def for_data(
        cls,
        dataset: DataShapes,
        *,
        shared: EncoderPrior | None = None,
        seed: int = 0,
        **options: Any,
    ) -> ClonedActor:
        """An actor for the images of a data set, or for a shared encoder's features of it.

        Args:
            dataset: What it will learn from: images, or features (`FeatureCache`).
            shared: The prior whose features it sees.
            seed: Seed of the initial weights.
            **options: Fields of its config.

        Raises:
            UnknownNameError: No such option.
            InvalidArgumentError: The data have no images, and there is no shared encoder.
        """
        seen: dict[str, Any] = {"image": dataset.observation_spec.image}
        if shared is not None:
            digest = shared.encoder_digest
            seen = {"features_dim": shared.feature_dim, "encoder_sha256": digest}
        elif seen["image"] is None:
            raise InvalidArgumentError(
                "Expected an image called image to clone from, or a shared encoder, which may "
                f"look at several, got {dataset.observation_spec}."
            )
        low, high = (tuple(edge.tolist()) for edge in dataset.action_bounds)
        known = [entry.name for entry in fields(ClonedActorConfig)]
        config = ClonedActorConfig(low, high, **checked_options(cls, {**options, **seen}, known))
        actor = cls(config, seed=seed)
        actor._seen_by = () if shared is None else (shared.encoder,)
        return actor

    @property
    def observation_spec(self) -> ObservationSpec:
        """What it looks at: images, or nothing but features."""
        return ObservationSpec(image=self.config.image)

    @property
    def action_dim(self) -> int:
        """A, the number of action dimensions."""
        return len(self.config.action_low)

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) float32 of the action box."""
        return self._middle - self._half_width, self._middle + self._half_width

    def expects(self, given: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Shapes of one step of the data: images or features, and actions."""
        config = self.config
        seen = {FEATURES_KEY: (config.features_dim,)} if config.image is None else {}
        image = {} if config.image is None else {"image": tuple(config.image)}
        return {**seen, **image, "action": (self.action_dim,)}

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The negative log-likelihood "nll", nats, of actions in box units, and "entropy".

        The latter is minus the bonus. Features are perturbed as their encoder has it for a flow.
        """
        seen = batch[FEATURES_KEY if self.config.image is None else "image"]
        if self.training:
            for encoder in self._seen_by:
                seen = encoder.perturb(seen, generator)
        mean, log_std = (part.float() for part in self.gaussian(seen))
        action = self.scaled(batch["action"]).clamp(-EDGE, EDGE)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        sample = mean + log_std.exp() * noise
        log_prob = tanh_gaussian_log_prob(action.atanh(), mean, log_std)
        of_sample = tanh_gaussian_log_prob(sample, mean, log_std)
        return {"nll": -log_prob.mean(), "entropy": self.config.entropy * of_sample.mean()}

    def gaussian(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, (B, A) each, of the Gaussian before tanh.

        Args:
            seen: Features (B, F), or images (B, H, W, C) uint8.
        """
        if self.config.image is not None:
            seen = seen.permute(0, 3, 1, 2)
        mean, log_std, _ = self.actor.get_action_dist_params(seen)
        return mean, log_std

    def scaled(self, action: Tensor) -> Tensor:
        """Env actions (B, A) in units of the action box, [-1, 1]."""
        middle, half = (torch.from_numpy(e).to(action) for e in (self._middle, self._half_width))
        return (action - middle) / half

    def predict(self, features: FloatArray) -> FloatArray:
        """The middle of the policy: env actions (B, A) float32 for features (B, F).

        Raises:
            InvalidArgumentError: The features have the wrong shape or are not finite.
        """
        like = next(self.parameters())
        with own_surroundings(), torch.inference_mode():
            seen = vectors("features", features, (self.config.features_dim,), like=like)
            mean, _ = self.gaussian(seen)
            return as_float_array(mean.tanh()) * self._half_width + self._middle


def tanh_gaussian_log_prob(before: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density (B,) in nats of tanh(before) where `before` is Gaussian; (B, A) each.

    Example:
        >>> zero = torch.zeros(1, 1)
        >>> round(tanh_gaussian_log_prob(zero, zero, zero).item(), 4)  # -log(sqrt(2 pi))
        -0.9189
    """
    gaussian = -0.5 * (((before - mean) / log_std.exp()).square() + math.log(2.0 * math.pi))
    # log(1 - tanh(x)^2), without the cancellation
    slope = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    return (gaussian - log_std - slope).sum(dim=1)


@own_surroundings()
def load_cloned_actor(folder: str | Path) -> ClonedActor:
    """Load an actor from a folder that `ClonedActor.save` wrote, or from its run's folder.

    Raises:
        CheckpointError: Truncated, altered, foreign or of a newer format; nothing is loaded.
    """
    target = as_path("folder", folder)
    within = (target / name for name in _RUN_SUBFOLDERS)
    if not (target / HEADER_FILE).exists():
        target = next((folder for folder in within if (folder / HEADER_FILE).exists()), target)
    stored = read_prior(target)
    if PRIORS.current(stored.type_tag) != ClonedActor.type_tag:
        raise CheckpointError(
            f"{target / HEADER_FILE}: expected an actor of type {ClonedActor.type_tag!r}, found "
            f"{stored.type_tag!r}."
        )
    try:
        config = ClonedActorConfig.from_dict(stored.config)
        actor = ClonedActor(config, metadata=stored.metadata)
        actor.load_state_dict(stored.tensors, strict=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{target / WEIGHTS_FILE}: does not fit its config: {error}"
        ) from error
    return actor.requires_grad_(False)


def initialise_actor(model: SAC, folder: str | Path, prior: EncoderPrior | None = None) -> None:
    """Give a model's actor the weights of a cloned one, before training.

    Args:
        model: SAC with raw actions, fresh.
        folder: Of the cloned actor, or of the run that made it.
        prior: The prior whose features the model sees; compared with the actor's where given.

    Raises:
        CheckpointError: The folder cannot be trusted, or its actor does not fit the model; every
            disagreement is listed.
    """
    cloned = load_cloned_actor(folder)
    problems = _disagreements(cloned, model)
    digest = cloned.config.encoder_sha256
    if prior is not None and digest and prior.encoder_digest != digest:
        problems.append(
            f"features: cloned from those of encoder {digest[:12]}, the model sees those of "
            f"{prior.encoder_digest[:12]}"
        )
    if problems:
        raise CheckpointError(
            f"{folder}: this cloned actor does not fit the model: {'; '.join(problems)}. Clone "
            "one with the run's encoder and network, or change the run's settings."
        )
    model.actor.load_state_dict(cloned.actor.state_dict(), strict=True)


def _make_actor(config: ClonedActorConfig, actions: spaces.Box) -> Actor:
    extractor: BaseFeaturesExtractor
    seen: spaces.Box
    if config.image is None:
        seen = spaces.Box(-np.inf, np.inf, (config.features_dim,), np.float32)
        extractor = FlattenExtractor(seen)
    else:
        height, width, colours = config.image
        seen = spaces.Box(0, 255, (colours, height, width), np.uint8)  # as SB3 transposes them
        extractor = PaperConvolutions(seen)
    return Actor(
        seen,
        actions,
        net_arch=list(config.net_arch),
        features_extractor=extractor,
        features_dim=extractor.features_dim,
        activation_fn=LayerNormReLU if config.layer_norm else nn.ReLU,
    )


def _disagreements(cloned: ClonedActor, model: SAC) -> list[str]:
    mine, theirs = cloned.actor, model.actor
    pairs: dict[str, tuple[Any, Any]] = {
        "observation": (mine.observation_space.shape, theirs.observation_space.shape),
        "hidden widths": (list(mine.net_arch), list(theirs.net_arch)),
        "activation": (mine.activation_fn.__name__, theirs.activation_fn.__name__),
        "action box": (_edges(mine.action_space), _edges(theirs.action_space)),
        "features extractor": (
            type(mine.features_extractor).__name__,
            type(theirs.features_extractor).__name__,
        ),
    }
    return [
        f"{name}: the actor has {here}, the model {there}"
        for name, (here, there) in pairs.items()
        if here != there
    ]


def _edges(space: spaces.Box) -> list[list[float]]:
    return [space.low.tolist(), space.high.tolist()]
