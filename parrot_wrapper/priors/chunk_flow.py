"""The chunk flow: a conditional RealNVP over the next H actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.flow import FlowPrior, FlowPriorConfig
from parrot_wrapper.priors.standardised import ReplannedChunks, check_chunks


@dataclass(frozen=True)
class ChunkFlowPriorConfig(FlowPriorConfig):
    """Shapes and sizes of a `ChunkFlowPrior`, beside those of a `FlowPrior`.

    Attributes:
        horizon: H, env steps that one latent drives, 1 to 16.
        replan: Plan anew before each action, see `ReplannedChunks`; else chunks are executed open
            loop, as they were planned.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = ChunkFlowPriorConfig(ObservationSpec(state=4), 2, "state", horizon=10)
        >>> ChunkFlowPriorConfig.from_dict(config.to_dict()) == config
        True
    """

    horizon: int = 5
    replan: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_chunks(self, self.horizon, self.replan)


class ChunkFlowPrior(ReplannedChunks, FlowPrior):
    """A flow over chunks, (a_0, ..., a_{H-1}) = f(z; s), z of H A dimensions, invertible in z.

    At H = 1 it is a `FlowPrior`, weight by weight. Densities are exact, of chunks; training's "nll"
    and the measures of `parrot eval-prior` are per step.

    Args:
        config: Shapes and sizes.
        seed: Seed of the initial weights.
        metadata: JSON-able facts to keep beside the weights.

    Raises:
        UnknownNameError: No such encoder or encoder option.
        InvalidArgumentError: The encoder cannot look at such observations.

    Example:
        >>> import numpy as np
        >>> from parrot_wrapper.types import ObservationSpec
        >>> config = ChunkFlowPriorConfig(ObservationSpec(state=4), 2, "state", horizon=5)
        >>> prior = ChunkFlowPrior(config)
        >>> state, z = np.zeros((3, 4), np.float32), np.ones((3, 10), np.float32)
        >>> chunk = prior.decode(z, state)
        >>> chunk.shape, np.allclose(prior.encode(chunk, state), z, atol=1e-5)
        ((3, 5, 2), True)
    """

    type_tag: ClassVar[str] = "chunk"
    config_class: ClassVar[type[PriorConfig]] = ChunkFlowPriorConfig
    batches: ClassVar = "windows"
    config: ChunkFlowPriorConfig

    @property
    def bijective(self) -> bool:
        """Whether KL accounts are exact: not where later actions depend on what is seen then."""
        return not (self.closed_loop and self.horizon > 1)
