"""The flow with a memory: a conditional RealNVP given what is seen, and what the episode held."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.priors.arrays import as_float_array, vectors
from parrot_wrapper.priors.config import PriorConfig, require_at_least
from parrot_wrapper.priors.encoders.base import ActingEncoder
from parrot_wrapper.priors.flow import FlowPrior, FlowPriorConfig
from parrot_wrapper.priors.trainable import FEATURES_KEY, Batch, single_steps
from parrot_wrapper.priors.variational import ActionBox
from parrot_wrapper.types import AnyArray, FloatArray, Observations

MEMORIES = ("gru", "last")
_SEQUENCES = {"batch_size": 32, "learning_rate": 1e-3}


@dataclass(frozen=True)
class MemoryFlowPriorConfig(FlowPriorConfig):
    """Shapes and sizes of a `MemoryFlowPrior`, beside those of a `FlowPrior`.

    Attributes:
        memory: "gru" for a gated recurrent unit, which may remember from the episode's first step
            on, or "last" for the last steps as they were.
        memory_size: Width of the recurrent unit.
        last: How many steps "last" remembers.
        window: Steps of a training sequence. Its beginning has no memory; longer ones teach longer
            memories.

    Raises:
        InvalidArgumentError: A value is outside its range; the message names the field.
        UnknownNameError: No such memory.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = MemoryFlowPriorConfig(ObservationSpec(state=4), 2, "state", memory="last")
        >>> MemoryFlowPriorConfig.from_dict(config.to_dict()) == config
        True
    """

    memory: Literal["gru", "last"] = "gru"
    memory_size: int = 64
    last: int = 8
    window: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("memory", [self.memory], MEMORIES)
        require_at_least("memory_size", self.memory_size, 1)
        require_at_least("last", self.last, 1)
        require_at_least("window", self.window, 2)


class _Gru(nn.Module):
    """A state (B, M) that a recurrent unit makes of all inputs (B, I) so far."""

    def __init__(self, inputs: int, config: MemoryFlowPriorConfig) -> None:
        super().__init__()
        self.size = config.memory_size
        self.unit = nn.GRU(inputs, self.size, batch_first=True)

    def step(self, state: Tensor, inputs: Tensor) -> Tensor:
        after: Tensor = self.unit(inputs[:, None], state[None].contiguous())[1][0]
        return after

    def before_each(self, inputs: Tensor) -> Tensor:
        """States (B, T, M) before each of the inputs (B, T, I)."""
        after = self.unit(inputs[:, :-1])[0]
        return torch.cat((after.new_zeros(len(after), 1, self.size), after), dim=1)


class _Last(nn.Module):
    """The last k inputs (B, I), the newest at the end, each with a 1 for being there."""

    def __init__(self, inputs: int, config: MemoryFlowPriorConfig) -> None:
        super().__init__()
        self.steps, self.width = config.last, inputs + 1
        self.size = self.steps * self.width

    def step(self, state: Tensor, inputs: Tensor) -> Tensor:
        newest = torch.cat((inputs, torch.ones_like(inputs[:, :1])), dim=1)
        return torch.cat((state[:, self.width :], newest), dim=1)

    def before_each(self, inputs: Tensor) -> Tensor:
        """States (B, T, M) before each of the inputs (B, T, I)."""
        told = torch.cat((inputs, torch.ones_like(inputs[..., :1])), dim=2)[:, :-1]
        nothing = told.new_zeros(len(told), self.steps, self.width)
        windows = torch.cat((nothing, told), dim=1).unfold(1, self.steps, 1)
        return windows.transpose(2, 3).flatten(2)


class MemoryFlowPrior(FlowPrior):
    """A flow a = f(z; s, m), where m is what the prior remembers of the episode; invertible in z.

    Implements `parrot_wrapper.types.OffersMemory`: m is a function of what was seen and done before
    (Tirumala et al. 2022, section 5). Its features are those of the encoder, and m behind them.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights.

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = MemoryFlowPriorConfig(ObservationSpec(state=4), 2, "state", memory_size=3)
        >>> prior = MemoryFlowPrior(config)
        >>> state = prior.initial_state(5)
        >>> features = prior.recall(prior.features(np.zeros((5, 4), np.float32)), state)
        >>> features.shape, prior.advance(state, features, np.ones((5, 2), np.float32)).shape
        ((5, 7), (5, 3))
    """

    type_tag: ClassVar[str] = "memory"
    config_class: ClassVar[type[PriorConfig]] = MemoryFlowPriorConfig
    batches: ClassVar = "sequences"
    observes: ClassVar = "all"
    recipes: ClassVar = MappingProxyType(
        {
            "laptop": _SEQUENCES,
            "paper": FlowPrior.recipes["paper"],
            "laptop-frozen": {**_SEQUENCES, "patience": 0},
        }
    )
    config: MemoryFlowPriorConfig

    def _add_layers(self) -> None:
        make = _Gru if self.config.memory == "gru" else _Last
        self.box = ActionBox(self.config)
        self.memory = make(self.encoder.feature_dim + self.action_dim, self.config)
        super()._add_layers()

    @property
    def window(self) -> int:
        """Steps of a training sequence."""
        return self.config.window

    @property
    def feature_dim(self) -> int:
        """F, the length of the encoder's features and of the memory."""
        return self.encoder.feature_dim + self.memory.size

    @property
    def context_dim(self) -> int:
        """Length of what the flow is conditioned on."""
        return self.encoder.context_dim + self.memory.size

    def _condition(self, encoder: ActingEncoder, features: Tensor) -> Tensor:
        seen, remembered = features.tensor_split([self.encoder.feature_dim], dim=1)
        return torch.cat((encoder.context(seen), remembered), dim=1)

    def prepare(self, sample: Batch) -> None:
        """Take the action scale and the encoder's statistics from the data."""
        real = _real_steps(sample)
        self.fit_action_scale(real["action"])
        if FEATURES_KEY not in sample:
            self.encoder.initialise(real)

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """As `FlowPrior.losses`, of all steps of the sequences."""
        flat = single_steps(batch)
        real = flat.pop("valid")
        features, maps = self._seen(flat, generator)
        steps = batch["action"].shape[:2]
        with torch.autocast(features.device.type, enabled=False):
            inputs = self._inputs(features, flat["action"].to(features.dtype))
            remembered = self.memory.before_each(inputs.view(*steps, -1)).flatten(0, 1)
        known = torch.cat((features, remembered), dim=1)
        likelihood = self._likelihood(known[real], flat["action"][real], generator)
        return {**likelihood, **self._auxiliary(maps, flat, generator)}

    def _inputs(self, seen: Tensor, action: Tensor) -> Tensor:
        """What is remembered of a step: features (B, E) and actions (B, A) within their box."""
        return torch.cat((seen, self.box.scale(action).clamp(-1.0, 1.0)), dim=1)

    def _embed(self, obs: Observations) -> Tensor:
        seen = super()._embed(obs)
        return torch.cat((seen, seen.new_zeros(len(seen), self.memory.size)), dim=1)

    def initial_state(self, envs: int) -> FloatArray:
        """See `parrot_wrapper.types.OffersMemory`: (envs, M) float32."""
        return np.zeros((envs, self.memory.size), np.float32)

    def recall(self, features: FloatArray, state: AnyArray) -> FloatArray:
        """See `parrot_wrapper.types.OffersMemory`.

        Raises:
            InvalidArgumentError: There is not one state for each row of features.
        """
        self._check_state(state, len(features))
        return np.concatenate([features[:, : self.encoder.feature_dim], state], axis=1)

    def advance(self, state: AnyArray, features: FloatArray, action: AnyArray) -> FloatArray:
        """See `parrot_wrapper.types.OffersMemory`.

        Raises:
            InvalidArgumentError: States, features and actions are not of as many envs.
        """
        self._check_state(state, len(features))
        with self._frozen():
            before = vectors("state", state, (self.memory.size,), like=self._like)
            seen = self._embedded(features)[:, : self.encoder.feature_dim]
            done = self._rows("action", action, (self.action_dim,), len(features))
            return as_float_array(self.memory.step(before, self._inputs(seen, done)))

    def _check_state(self, state: AnyArray, rows: int) -> None:
        expected = (rows, self.memory.size)
        if np.shape(state) != expected:
            raise InvalidArgumentError(
                f"Expected what is remembered of {rows} envs, {expected}, got {np.shape(state)}. "
                "initial_state(envs) has the right shape where an episode begins."
            )


def _real_steps(batch: Batch) -> dict[str, Tensor]:
    """A batch of sequences as single steps, without those that only fill up short ones."""
    real = batch["valid"].flatten()
    return {name: part.flatten(0, 1)[real] for name, part in batch.items() if part.ndim > 1}
