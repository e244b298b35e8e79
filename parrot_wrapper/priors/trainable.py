"""What the one training loop asks of everything that it trains: its loss, and what it reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, require_known
from parrot_wrapper.priors.checkpoint import save_prior
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.types import (
    KEYS_FACT,
    SEES_FACT,
    Demonstrations,
    FloatArray,
    HasMetadata,
    ObservationSpec,
)

Batch: TypeAlias = Mapping[str, Tensor]
"""Observations by part (or "features"), "action", what `labels` made, and "progress"."""
FEATURES_KEY = "features"
"""Where a batch has what a frozen encoder made of the observations, in place of them."""
PRESETS = ("laptop", "paper")
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        "steps": 500_000,
        "optimiser": "adam",
        "learning_rate": 1e-4,
        "final_learning_rate": 1.0,
        "warmup_steps": 0,
        "ema_decay": 0.0,
        "patience": 0,
    }
)
"""Training as in PARROT, appendix B, which says no batch size but that of the VAE features."""

_Trainable = TypeVar("_Trainable", bound="Trainable")
_Data = TypeVar("_Data", bound="DataShapes")


class DataShapes(Demonstrations, HasMetadata, Protocol):
    """What a prior takes from a data set."""

    @property
    def observation_spec(self) -> ObservationSpec:
        """What there is to look at."""

    @property
    def action_dim(self) -> int:
        """A."""

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) of the action box."""

    def seeing(self: _Data, names: Sequence[str]) -> _Data:
        """The same with these of its observations alone."""


class Trainable(nn.Module):
    """Base of all that `fit_prior` trains. A subclass that sets `type_tag` is known by it at once.

    A kind writes `losses`, and what it has of `prepare`, `criterion` and the class attributes:

    Attributes:
        type_tag: Name of the kind, on disk and behind `parrot train-prior --kind`.
        config_class: Its frozen dataclass of shapes, sizes and weights of losses, whose fields are
            the options of that command. `FROM_DATA` there names those that the data decide.
        batches: What a batch holds. "pairs": single steps, two of each episode side by side, and
            "action" (B, A). "windows": `horizon` steps from anywhere in an episode, two windows of
            each side by side; "episodes": the first `horizon` steps of one. For these "action" is
            (B, H, A); shorter episodes are left out. "sequences": as "windows", of `window` steps;
            shorter episodes are filled up with their last step, and "valid" (B, W) says what is
            real.
        observes: Of which steps of a window or an episode a batch has observations (or features)
            and labels: "first" (B, ...), or "all" (B, H, ...), which costs H times the memory. What
            decodes closed loop or remembers needs all; see `single_steps`.
        looks: False for a kind whose actions do not depend on the observation: it learns from
            actions alone, and an env need not supply what it would look at.
        shares_encoder: Whether the frozen encoder of another prior may stand in for its own.
        recipes: For the presets "laptop" (the default) and "paper", settings of the training and
            of the config where they are not the defaults; under "laptop-frozen" and
            "paper-frozen" those that differ on the frozen encoder of another prior.
    """

    type_tag: ClassVar[str]
    config_class: ClassVar[type[Any]]
    batches: ClassVar[Literal["pairs", "windows", "episodes", "sequences"]] = "pairs"
    observes: ClassVar[Literal["first", "all"]] = "first"
    looks: bool = True
    shares_encoder: ClassVar[bool] = True
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    config: Any
    _metadata: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "type_tag" in cls.__dict__:
            PRIORS.add(cls.type_tag, cls)

    @classmethod
    def recipe(cls, preset: str = "laptop", *, frozen: bool = False) -> dict[str, Any]:
        """Settings of a preset, of the training and of the config together.

        Raises:
            UnknownNameError: No such preset.

        Example:
            >>> PRIORS.get("trajectory").recipe("paper")["steps"]
            500000
        """
        require_known("preset", [preset], PRESETS)
        more = cls.recipes.get(f"{preset}-frozen", {}) if frozen else {}
        return {**cls.recipes.get(preset, {}), **more}

    @classmethod
    def for_data(
        cls: type[_Trainable],
        dataset: DataShapes,
        *,
        shared: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> _Trainable:
        """One that fits a data set's observations, actions and action box, untrained.

        Args:
            dataset: What it will learn from.
            shared: A prior whose encoder it carries, frozen.
            seed: Seed of the initial weights.
            **options: Fields of its config.

        Raises:
            UnknownNameError: No such option.
            InvalidArgumentError: An option outside its range.
        """
        raise NotImplementedError

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars by name; training minimises their sum.

        Under autocast where the training's precision says so; wrap what needs float32 into
        `torch.autocast(..., enabled=False)`. `self.training` is False in validation.

        Args:
            batch: See `batches`. "progress", a scalar, is the share of the run that is over, 1 in
                validation.
            generator: All that is random is drawn from it, on the weights' device; in validation
                it gives the same numbers at every call.
        """
        raise NotOfferedError(f"A prior of type {self.type_tag!r} has no losses to train with.")

    def labels(self, dataset: DataShapes) -> dict[str, FloatArray]:
        """What batches are to carry beside observations and actions, made of the data.

        (N, ...) float32 by name, N the rows of the observations. By default nothing: what an env
        says of its own state is for measuring alone.
        """
        return {}

    def lessons(self, dataset: DataShapes) -> list[str]:
        """What in the data losses other than the prior's own learn from, in words."""
        return []

    def gaps(self, dataset: DataShapes) -> list[str]:
        """What the data lack for these, and what to do: sentences."""
        return []

    def _sees(self, dataset: DataShapes) -> bool:
        """Whether it looks at what the data show, and not at features of it."""
        return self.looks and FEATURES_KEY not in dataset.observations

    def prepare(self, sample: Batch) -> None:
        """Set statistics from a sample of the training data, once, before the first step."""

    def criterion(self, losses: Mapping[str, float]) -> float:
        """What the kept weights are best in, from the losses on held-out data; lower is better."""
        return sum(losses.values())

    def expects(self, given: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Shapes of one step of the data, by name: "action", and what is looked at.

        Args:
            given: Names of the data's observations.
        """
        raise NotImplementedError

    @property
    def observation_spec(self) -> ObservationSpec:
        """What it looks at."""
        raise NotImplementedError

    @property
    def action_dim(self) -> int:
        """A, the number of action dimensions."""
        raise NotImplementedError

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) float32 of the action box."""
        raise NotImplementedError

    @property
    def horizon(self) -> int:
        """H, env steps that one latent drives: the config's, 1 where that has none."""
        return int(getattr(self.config, "horizon", 1))

    @property
    def window(self) -> int:
        """Steps that a batch has of an episode, where it has more than one."""
        return self.horizon

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON-able facts kept beside the weights; read-only."""
        return MappingProxyType(self._metadata)

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replace the facts that `save` writes beside the weights; JSON-able."""
        self._metadata = dict(metadata)

    def save(self, folder: str | Path) -> None:
        """Write it to `folder` (JSON and safetensors), whole or not at all."""
        save_prior(self, folder)


def sight_facts(source: HasMetadata) -> dict[str, Any]:
    """What the metadata of data or of a prior say of limited sight; nothing where all is seen."""
    told = source.metadata
    names = (SEES_FACT, KEYS_FACT) if SEES_FACT in told else ()
    return {name: told[name] for name in names if name in told}


def single_steps(batch: Batch) -> dict[str, Tensor]:
    """A batch of windows whose observations are those of all H steps, as one of single steps.

    Two windows of one episode stand side by side, so entries 2i and 2i + 1 are of one episode here,
    too.

    Args:
        batch: (B, H, ...) by name, and "progress".

    Returns:
        (B H, ...) by name, the steps of a window in order; "progress" as it is.

    Example:
        >>> single_steps({"action": torch.zeros(4, 3, 2)})["action"].shape
        torch.Size([12, 2])
    """
    return {name: part.flatten(0, 1) if part.ndim > 1 else part for name, part in batch.items()}


def prior_kind(name: str) -> type[Trainable]:
    """The kind of prior called `name`, ours or another package's.

    Raises:
        UnknownNameError: There is none; the nearest is named.
        MissingExtraError: The package that offers it cannot be imported.
        InvalidArgumentError: What the package offers is no kind of prior.

    Example:
        >>> prior_kind("flow").__name__
        'FlowPrior'
    """
    kind = PRIORS.get(name)
    if not isinstance(kind, type) or not issubclass(kind, Trainable):
        raise InvalidArgumentError(
            f"Expected the kind of prior {name!r} as a subclass of EncoderPrior, got {kind!r}."
        )
    return kind


def checked_options(
    kind: type[Trainable], options: Mapping[str, Any], known: Collection[str]
) -> dict[str, Any]:
    """The options, unless one is unknown; the nearest is named."""
    require_known(f"option of a prior of type {kind.type_tag!r}", options, known)
    return dict(options)
