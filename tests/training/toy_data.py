"""Tiny data sets for baselines: from states and from images."""

import numpy as np

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.types import ObservationSpec

STATE = ObservationSpec(state=3)
FIT = PriorTrainingConfig(
    steps=400,
    batch_size=64,
    learning_rate=3e-3,
    warmup_steps=20,
    validate_every=200,
    validation_batches=4,
    ema_decay=0.0,
    patience=0,
    precision="float32",
    threads=1,
    device="cpu",
)


def state_data(episodes: int = 60, length: int = 6, seed: int = 0) -> EpisodeDataset:
    """Two actions: a sine of the state, and plus or minus 0.7 at random; in a box of width 4."""
    rng = np.random.default_rng(seed)
    state = rng.standard_normal((episodes * (length + 1), 3)).astype(np.float32)
    rows = np.concatenate([np.arange(length) + i * (length + 1) for i in range(episodes)])
    side = rng.choice([-1.4, 1.4], len(rows))
    action = np.stack([2.0 * np.sin(state[rows, 0]), side], axis=1)
    action = np.clip(action + 0.05 * rng.standard_normal(action.shape), -2, 2)
    return EpisodeDataset.from_arrays(
        {"state": state}, action, [length] * episodes, action_low=-2.0, action_high=2.0
    )


def state_encoder(**options) -> FlowPrior:
    """An untrained flow prior that fits `state_data`, for its encoder."""
    box = {"action_low": (-2.0, -2.0), "action_high": (2.0, 2.0)}
    return FlowPrior(FlowPriorConfig(STATE, 2, "state", hidden=8, **box, **options))


def image_data(episodes: int = 8, length: int = 4, side: int = 8) -> EpisodeDataset:
    """A bright square somewhere on a dark image; actions are three random numbers."""
    rng = np.random.default_rng(0)
    image = np.full((episodes * (length + 1), side, side, 3), 40, np.uint8)
    for frame, (row, column) in zip(image, rng.integers(0, side - 2, (len(image), 2)), strict=True):
        frame[row : row + 3, column : column + 3] = 230
    action = rng.uniform(-0.5, 0.5, (episodes * length, 3))
    metadata = {"settings": {"env_id": "Made-up-v0", "camera": {"fov": 45}}}
    return EpisodeDataset.from_arrays(
        {"image": image}, action, [length] * episodes, metadata=metadata
    )
