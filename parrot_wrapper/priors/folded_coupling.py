"""The coupling layers for acting: the same numbers from fewer, larger products."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.priors.coupling import AffineCoupling, CouplingStack


class _Layer(NamedTuple):
    """Weights of a coupling layer's net, without what it does with the context.

    Attributes:
        moved: The dimensions that change.
        kept: The others.
        enter: Of the kept dimensions, (kept, hidden).
        inner: Weight and bias of the hidden layers after the first.
        leave: Weight (hidden, 2 moved) and bias; its second half is the log scale over its bound.
        bound: Of the log scale.
    """

    moved: slice
    kept: slice
    enter: Tensor
    inner: list[tuple[Tensor, Tensor]]
    leave: tuple[Tensor, Tensor]
    bound: float


class FoldedCouplings:
    """Noise to actions as `CouplingStack.decode` has it, without gradients, equal up to rounding.

    All layers see the same context, so what they make of it is one product for all of them.

    Args:
        stack: The layers, in float32.
    """

    def __init__(self, stack: CouplingStack) -> None:
        couplings = [layer for layer in stack.couplings if isinstance(layer, AffineCoupling)]
        couplings.reverse()  # the last layer is the first to decode
        parts = [_folded(layer) for layer in couplings]
        self._layers = [layer for layer, _ in parts]
        self._context = torch.cat([of_context for _, of_context in parts]).T.contiguous()
        self._bias = torch.cat([_linear(layer)[0].bias for layer in couplings])

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Standardised noise (B, A) given contexts (B, C) to standardised actions (B, A)."""
        conditions = torch.addmm(self._bias, context, self._context).chunk(len(self._layers), 1)
        x = z.clone()
        for layer, condition in zip(self._layers, conditions, strict=True):
            hidden = functional.silu(torch.addmm(condition, x[:, layer.kept], layer.enter))
            for weight, bias in layer.inner:
                hidden = functional.silu(torch.addmm(bias, hidden, weight))
            weight, bias = layer.leave
            shift, raw = torch.addmm(bias, hidden, weight).chunk(2, 1)
            x[:, layer.moved].mul_(raw.tanh().mul_(layer.bound).exp_()).add_(shift)
        return x


def _linear(layer: AffineCoupling) -> list[nn.Linear]:
    return [part for part in layer.net if isinstance(part, nn.Linear)]


def _folded(layer: AffineCoupling) -> tuple[_Layer, Tensor]:
    """The layer, and of its first weight what is for the context (hidden, C)."""
    enter, *inner, leave = _linear(layer)
    moving = len(leave.bias) // 2
    width = layer.dim - moving
    first = layer.transforms_first
    scale = torch.ones(2 * moving)
    scale[moving:] = 1.0 / layer.log_scale_bound
    folded = _Layer(
        moved=slice(0, moving) if first else slice(width, None),
        kept=slice(moving, None) if first else slice(0, width),
        enter=enter.weight[:, :width].T.contiguous(),
        inner=[(part.weight.T.contiguous(), part.bias) for part in inner],
        leave=((leave.weight * scale[:, None]).T.contiguous(), leave.bias * scale),
        bound=layer.log_scale_bound,
    )
    return folded, enter.weight[:, width:]
