"""Mean flow: noise to a chunk of actions in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.flow_matching import FlowMatchingPrior, FlowMatchingPriorConfig

_INSTANT = 0.5
"""Share of a batch that learns the velocity of a moment, as in flow matching."""
_SMALL = 1e-3
_STEP = 0.005
"""In time, of the central difference that stands for a derivative along the way."""


@dataclass(frozen=True)
class MeanFlowPriorConfig(FlowMatchingPriorConfig):
    """Shapes and sizes of a `MeanFlowPrior`: those of a `FlowMatchingPrior`, with one step.

    Example:
        >>> from parrot_wrapper.types import ObservationSpec
        >>> MeanFlowPriorConfig(ObservationSpec(state=4), 2, "state").solver_steps
        1
    """

    solver_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver != "euler":
            raise InvalidArgumentError(
                f"solver must be 'euler' for a mean flow, whose steps are exact, got "
                f"{self.solver!r}; more solver_steps make it more precise."
            )


class MeanFlowPrior(FlowMatchingPrior):
    """Flow matching whose net knows how far to go, so that one pass of it is enough.

    After Geng et al. (2025). With x_t on the way from noise at t = 0 to actions at t = 1, the net u
    is the velocity averaged from t to r: x_r = x_t + (r - t) u(x_t, t, r). Differentiated along the
    way this is u = v + (r - t) du/dt, whose right side, with v on the straight line from noise to
    action, is what it is fitted to. Trained from data alone; no other prior is distilled.

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
        >>> prior = MeanFlowPrior(MeanFlowPriorConfig(ObservationSpec(state=4), 2, "state"))
        >>> prior.decode(np.zeros((3, 2), np.float32), np.zeros((3, 4), np.float32)).shape
        (3, 2)
    """

    type_tag: ClassVar[str] = "mean-flow"
    config_class: ClassVar[type[PriorConfig]] = MeanFlowPriorConfig
    times: ClassVar[int] = 2
    config: MeanFlowPriorConfig

    def _error(self, noise: Tensor, action: Tensor, time: Tensor, context: Tensor) -> Tensor:
        start, end = time.amin(dim=1, keepdim=True), time.amax(dim=1, keepdim=True)
        instant = torch.arange(len(time), device=time.device)[:, None] < _INSTANT * len(time)
        end = torch.where(instant, start, end)
        velocity = action - noise
        point = torch.lerp(noise, action, start)

        def mean(ahead: float) -> Tensor:
            times = torch.cat((start + ahead, end), dim=1)
            return self._velocity(point + ahead * velocity, times, context)

        with torch.no_grad():
            change = (mean(_STEP) - mean(-_STEP)) / (2.0 * _STEP)
        error = (mean(0.0) - (velocity + (end - start) * change)).square().mean(dim=1)
        # as there: rows that are far off, whose targets are the least certain, count less
        weighted: Tensor = error / (error.detach() + _SMALL).sqrt()
        return weighted.mean()

    def _stepped(self, x: Tensor, time: Tensor, step: float, context: Tensor) -> Tensor:
        return x + step * self._velocity(x, torch.cat((time, time + step), dim=1), context)
