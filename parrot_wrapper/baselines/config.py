"""Settings of a baseline's training, with those of the paper and those for a laptop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from parrot_wrapper.names import unknown_name
from parrot_wrapper.training.prior_config import PriorTrainingConfig


@dataclass(frozen=True)
class FittingConfig(PriorTrainingConfig):
    """As `PriorTrainingConfig`, with what only baselines have.

    Attributes:
        ema_decay: As there, but off: batch normalisation's statistics are those of the weights
            themselves.
        patience: As there, but off: the best weights are kept anyway.
        precision: As there, but of the whole loss.
        anneal: The weight of a KL divergence grows from 0 along a logistic curve that reaches half
            at this share of the steps; the paper's is 25,000 of 500,000.
        entropy: Weight of the entropy, in nats, that a cloned policy is rewarded with.

    Example:
        >>> FittingConfig(steps=1000).annealed(0.5, step=50)
        0.25
    """

    ema_decay: float = 0.0
    patience: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    anneal: float = 0.05
    entropy: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("anneal", 0 < self.anneal < 1, "in (0, 1)")
        self._require("entropy", 0 <= self.entropy < 1, "in [0, 1)")

    def annealed(self, weight: float, *, step: int) -> float:
        """What is left of a KL's weight at a step; all of it soon after the curve's middle."""
        half = self.anneal * self.steps
        return weight / (1.0 + math.exp(min(-_STEEPNESS * (step - half) / half, 700.0)))


_STEEPNESS = 10.0
"""The weight begins at 1 / (1 + exp(10)) of its value."""
_PAPER = {"warmup_steps": 0, "final_learning_rate": 1.0, "precision": "auto"}

RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        # For features that are computed already: minutes on one core.
        "laptop": {
            "flow": {"steps": 20_000, "learning_rate": 1e-3, "ema_decay": 0.999},
            "hirl": {"steps": 20_000, "learning_rate": 1e-3},
            "trajrl": {"steps": 10_000, "learning_rate": 1e-3},
            "bc": {"steps": 20_000, "learning_rate": 1e-3},
            "vae-features": {
                "steps": 15_000,
                "learning_rate": 1e-3,
                "batch_size": 64,
                "precision": "auto",
            },
        },
        # PARROT, appendix B. It says no batch size but that of the VAE features.
        "paper": {
            "flow": {**_PAPER, "steps": 500_000, "learning_rate": 1e-4},
            "hirl": {**_PAPER, "steps": 500_000, "learning_rate": 1e-4},
            "trajrl": {**_PAPER, "steps": 500_000, "learning_rate": 1e-4},
            "bc": {**_PAPER, "steps": 2_000_000, "learning_rate": 3e-4},
            "vae-features": {
                **_PAPER,
                "steps": 1_500_000,
                "learning_rate": 1e-3,
                "batch_size": 128,
            },
        },
    }
)
"""Settings of the fit by preset and method."""

SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "laptop": {"vae-features": {"encoder_options": {"channels": 16}}},  # the paper's is 256
        "paper": {"bc": {"net_arch": (1024, 512, 256), "layer_norm": False}},
    }
)
"""Sizes of networks by preset and method, where they are not the defaults."""


def recipe(method: str, preset: str = "laptop", **settings: Any) -> FittingConfig:
    """Settings of a method, with `settings` in place of some.

    Raises:
        UnknownNameError: No such method or preset.
        InvalidArgumentError: A value outside its range.

    Example:
        >>> recipe("trajrl", "paper").steps
        500000
    """
    if preset not in RECIPES:
        raise unknown_name("preset", preset, RECIPES)
    if method not in RECIPES[preset]:
        raise unknown_name("baseline", method, RECIPES[preset])
    return FittingConfig(**{**RECIPES[preset][method], **settings})
