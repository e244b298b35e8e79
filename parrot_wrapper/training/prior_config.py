"""Settings of the training of any kind of prior."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from parrot_wrapper.checks import check_fields
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.priors.trainable import Trainable
from parrot_wrapper.surroundings import DEFAULT_THREADS

PRECISIONS = ("auto", "float32", "bfloat16")
OPTIMISERS = ("muon", "adam")


@dataclass(frozen=True)
class PriorTrainingConfig:
    """Everything that decides a training run, beside the prior's own config and the data.

    The paper trains 500,000 steps with Adam at a constant 1e-4.

    Attributes:
        steps: Gradient steps.
        batch_size: Rows of a batch: single steps, or windows of steps; even.
        optimiser: "muon" for Muon on matrices and Adam on the rest (`Optimiser`), or "adam".
        learning_rate: Peak of the optimiser's step size, reached after `warmup_steps`.
        final_learning_rate: Fraction of the peak that the cosine decay ends at; 1 for no decay.
        warmup_steps: Steps of linear warm-up.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Decay of the moving average of the weights, which is what is validated and
            kept; 0 for the weights themselves.
        edge_spread: Actions on the edge of their box are moved outwards by the absolute value of
            a normal of this scale (times half the box's width): clipping put atoms there, and an
            atom has no density. 0 leaves them.
        validation_fraction: Share of episodes held out.
        validate_every: Steps between validations.
        validation_batches: Batches in a validation, the same ones every time.
        patience: Stop after so many validations in a row that were no better (`criterion`); the
            best weights are kept. 0 for never.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between tensorboard rows.
        sight_share: Share of the steps in which an encoder of images learns, in batches of half as
            many rows; then its features are computed once, and the rest learns on them, which is
            much cheaper. 1 for an encoder that learns to the end.
        max_seconds: Stop after so much time in training, 0 for no limit. The learning rate then
            follows steps or time, whichever is further.
        precision: "bfloat16" for autocast, "float32", or "auto" for bfloat16 on a GPU or
            a processor with AMX. A flow is always in float32, whatever its encoder is in.
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        loaders: Threads that sample batches ahead.
        device: Torch device, or "auto" for a GPU where there is one.
        seed: Seed of batches, split and noise; the prior's own seed decides the first weights.

    Raises:
        InvalidArgumentError: A value outside its range; the message names the field.
        UnknownNameError: No such precision or optimiser.

    Example:
        >>> PriorTrainingConfig(steps=100, warmup_steps=10).learning_rate_at(10, fraction=0.0)
        0.0003
    """

    steps: int = 20_000
    batch_size: int = 256
    optimiser: Literal["muon", "adam"] = "muon"
    learning_rate: float = 3e-4
    final_learning_rate: float = 0.02
    warmup_steps: int = 200
    gradient_clip: float = 10.0
    ema_decay: float = 0.999
    edge_spread: float = 0.1
    validation_fraction: float = 0.05
    validate_every: int = 250
    validation_batches: int = 16
    patience: int = 20
    checkpoint_every: int = 1_000
    log_every: int = 50
    sight_share: float = 1.0
    max_seconds: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = DEFAULT_THREADS
    loaders: int = 1
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("steps", "validate_every", "validation_batches", "checkpoint_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("log_every", "loaders"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "patience", "threads", "seed", "max_seconds", "edge_spread"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        for name in ("learning_rate", "gradient_clip"):
            self._require(name, 0 < getattr(self, name) < math.inf, "positive and finite")
        self._require("final_learning_rate", 0 <= self.final_learning_rate <= 1, "in [0, 1]")
        self._require("ema_decay", 0 <= self.ema_decay < 1, "in [0, 1)")
        self._require("sight_share", 0 < self.sight_share <= 1, "in (0, 1]")
        self._require("validation_fraction", 0 < self.validation_fraction < 1, "in (0, 1)")
        even = self.batch_size >= 2 and self.batch_size % 2 == 0
        self._require("batch_size", even, "even and at least 2 (two time steps of each episode)")
        require_known("precision", [self.precision], PRECISIONS)
        require_known("optimiser", [self.optimiser], OPTIMISERS)

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise InvalidArgumentError(f"{name} must be {what}, got {getattr(self, name)!r}.")

    def learning_rate_at(self, step: int, *, fraction: float) -> float:
        """The optimiser's step size at `step` when `fraction` (0 to 1) of the run is over."""
        warm = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(max(fraction, 0.0), 1.0)))
        return (
            self.learning_rate
            * warm
            * (self.final_learning_rate + (1.0 - self.final_learning_rate) * cosine)
        )

    def parts(self) -> tuple[PriorTrainingConfig, PriorTrainingConfig]:
        """Settings of the steps in which the encoder learns, and of those on its features."""
        steps, seconds = max(1, round(self.sight_share * self.steps)), self.max_seconds
        whole = replace(self, sight_share=1.0)
        return replace(
            whole,
            steps=steps,
            batch_size=max(2, self.batch_size // 4 * 2),
            max_seconds=seconds * self.sight_share,
        ), replace(
            whole,
            steps=max(1, self.steps - steps),
            max_seconds=seconds * (1.0 - self.sight_share),
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return asdict(self)


def training_config(
    kind: type[Trainable], preset: str = "laptop", *, frozen: bool = False, **settings: Any
) -> PriorTrainingConfig:
    """The settings that a kind of prior is trained with.

    Args:
        kind: Of prior.
        preset: "laptop" or "paper".
        frozen: Whether it is trained on the features of another prior's encoder.
        **settings: In place of those of the preset.

    Raises:
        UnknownNameError: No such preset.
        InvalidArgumentError: A value outside its range.

    Example:
        >>> from parrot_wrapper.priors import CVAEPrior
        >>> training_config(CVAEPrior, "paper", batch_size=64).steps
        500000
    """
    names = {entry.name for entry in fields(PriorTrainingConfig)}
    recipe = {k: v for k, v in kind.recipe(preset, frozen=frozen).items() if k in names}
    return PriorTrainingConfig(**{**recipe, **settings})
