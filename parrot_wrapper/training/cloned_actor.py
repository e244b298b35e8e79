"""An SB3 SAC actor that imitates data: its folder on disk, and how SAC starts from it."""

from __future__ import annotations

from collections.abc import Mapping
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

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.names import unknown_name
from parrot_wrapper.priors.arrays import as_float_array, vectors
from parrot_wrapper.priors.checkpoint import HEADER_FILE, WEIGHTS_FILE, read_prior, save_prior
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.training.normed_activation import LayerNormReLU
from parrot_wrapper.training.paper_convolutions import PaperConvolutions
from parrot_wrapper.types import FloatArray

RUN_SUBFOLDER = "actor"
"""Where a cloning run keeps the actor that came out of it."""


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

    Raises:
        UnknownNameError: `from_dict` met a key that this version does not know.
    """

    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    features_dim: int = 0
    encoder_sha256: str = ""
    image: tuple[int, int, int] | None = None
    net_arch: tuple[int, ...] = (256, 256)
    layer_norm: bool = True

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClonedActorConfig:
        """The inverse of `to_dict`; unknown keys are refused by name."""
        known = [entry.name for entry in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_name("actor setting", key, known)
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**plain)


class ClonedActor(nn.Module):
    """Stock SB3's SAC actor, a tanh-Gaussian policy, to be fitted to data and handed to SAC.

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

    type_tag: ClassVar[str] = "cloned-actor"

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
        # torch's layers draw from the global generator
        with own_surroundings(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.actor = _make_actor(config, spaces.Box(low, high))
        self.eval()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON-able facts kept beside the weights; read-only."""
        return MappingProxyType(self._metadata)

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replace the facts that `save` writes beside the weights; JSON-able."""
        self._metadata = dict(metadata)

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

    def save(self, folder: str | Path) -> None:
        """Write the actor to `folder` (JSON and safetensors), whole or not at all."""
        save_prior(self, folder)


@own_surroundings()
def load_cloned_actor(folder: str | Path) -> ClonedActor:
    """Load an actor from a folder that `ClonedActor.save` wrote, or from its run's folder.

    Raises:
        CheckpointError: Truncated, altered, foreign or of a newer format; nothing is loaded.
    """
    target = as_path("folder", folder)
    if not (target / HEADER_FILE).exists() and (target / RUN_SUBFOLDER / HEADER_FILE).exists():
        target = target / RUN_SUBFOLDER
    stored = read_prior(target)
    if stored.type_tag != ClonedActor.type_tag:
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
