"""One small prior of every kind, and data that they learn from: what tables of tests go over."""

from typing import Any

import numpy as np

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors import (
    CVAEPrior,
    CVAEPriorConfig,
    EncoderPrior,
    FlowPrior,
    FlowPriorConfig,
    MemoryFlowPrior,
    MemoryFlowPriorConfig,
    TrajectoryVAEPrior,
    TrajectoryVAEPriorConfig,
    VAEFeatures,
    VAEFeaturesConfig,
)
from parrot_wrapper.priors.trainable import prior_kind
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import training_config
from parrot_wrapper.types import ObservationSpec

SIDE, HORIZON = 8, 3
SIZES: dict[str, dict[str, Any]] = {
    "structured": {"slots": 2, "channels": 8, "context": 8},
    "convolutional": {"channels": 4, "hidden": 8, "embedding": 8},
    "residual": {"channels": 8, "blocks": 1, "embedding": 8},
    "state": {},
}
"""Options of every encoder that make it small."""

KINDS = (
    *("flow", "cvae", "trajectory", "features"),
    *("chunk", "flow-matching", "mean-flow", "skill", "memory", "latent-variable"),
)


def spec(encoder: str, proprio: int = 0, state: int = 0) -> ObservationSpec:
    """What a small encoder looks at."""
    if encoder == "state":
        return ObservationSpec(state=state or 3, proprio=proprio)
    return ObservationSpec(image=(SIDE, SIDE, 3), proprio=proprio, state=state)


def make_prior(kind: str, encoder: str, seen: ObservationSpec | None = None) -> EncoderPrior:
    """A prior of one action dimension; beta-VAE features have the residual encoder only."""
    seen = spec(encoder) if seen is None else seen
    common: dict[str, Any] = {"action_dim": 1, "encoder_options": SIZES.get(encoder, {})}
    small = {"latent_dim": 2, "widths": (8,)}
    if kind == "flow":
        return FlowPrior(FlowPriorConfig(seen, encoder=encoder, hidden=8, **common))
    if kind == "cvae":
        return CVAEPrior(CVAEPriorConfig(seen, encoder=encoder, **small, **common))
    if kind == "trajectory":
        made = TrajectoryVAEPriorConfig(seen, encoder=encoder, horizon=HORIZON, **small, **common)
        return TrajectoryVAEPrior(made)
    if kind in ("skill", "latent-variable"):
        sizes = {**small, **common, "horizon": HORIZON, "recurrent": 4}
        of = prior_kind(kind)
        return of(of.config_class(seen, encoder=encoder, **sizes))
    if kind == "memory":
        sizes = {**common, "hidden": 8, "memory_size": 4, "window": HORIZON}
        return MemoryFlowPrior(MemoryFlowPriorConfig(seen, encoder=encoder, **sizes))
    if kind != "features":
        of = prior_kind(kind)
        return of(of.config_class(seen, encoder=encoder, hidden=8, horizon=HORIZON, **common))
    return VAEFeatures(VAEFeaturesConfig(seen, **common))


def observations(seen: ObservationSpec, rows: int = 4, seed: int = 0) -> dict[str, Any]:
    """Random observations of these parts."""
    rng = np.random.default_rng(seed)
    parts: dict[str, Any] = {}
    for name, shape in seen.images.items():
        parts[name] = rng.integers(0, 256, (rows, *shape), np.uint8)
    for name in ("proprio", "state"):
        if getattr(seen, name):
            parts[name] = rng.normal(size=(rows, getattr(seen, name))).astype(np.float32)
    return parts


def data(seen: ObservationSpec, episodes: int = 6, **more: Any) -> EpisodeDataset:
    """Episodes of HORIZON steps."""
    actions = np.random.default_rng(1).uniform(-0.9, 0.9, (HORIZON * episodes, 1))
    rows = (HORIZON + 1) * episodes
    return EpisodeDataset.from_arrays(
        {**observations(seen, rows), **more}, actions, [HORIZON] * episodes
    )


def fit(prior: EncoderPrior, dataset: EpisodeDataset, steps: int = 2) -> None:
    """A few steps of the training that this kind of prior has."""
    sizes = {"steps": steps, "batch_size": 8, "validation_batches": 1, "device": "cpu"}
    fit_prior(prior, dataset, training_config(type(prior), **sizes), progress=False)
