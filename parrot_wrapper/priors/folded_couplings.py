"""Coupling layers for acting: a stack's way from noise to actions, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.priors.coupling import (
    AffineCoupling,
    Coupling,
    CouplingStack,
    SplineCoupling,
    Trunk,
)
from parrot_wrapper.priors.splines import spline_inverse

_Move: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Moved dimensions (B, M) and what a layer's net says of them, to where they go."""


class _Layer(NamedTuple):
    """Weights of a coupling layer's net, without what it does with the context.

    Attributes:
        moved: The dimensions that change.
        kept: The others.
        enter: Of the kept dimensions, (kept, hidden).
        inner: Weight and bias of the hidden layers after the first.
        leave: Weight and bias of the last.
        move: What is done with its output.
    """

    moved: slice
    kept: slice
    enter: Tensor
    inner: list[tuple[Tensor, Tensor]]
    leave: tuple[Tensor, Tensor]
    move: _Move


class FoldedCouplings:
    """Noise to actions as `CouplingStack.decode` has it, without gradients, equal up to rounding.

    All layers see the same context, so what they make of it is one product for all of them.

    Args:
        stack: Layers without mixing, in float32.
    """

    def __init__(self, stack: CouplingStack) -> None:
        couplings = cast("list[Coupling]", list(stack.couplings))  # ModuleList is untyped
        couplings.reverse()  # the last layer is the first to decode
        parts = [_folded(layer) for layer in couplings]
        self._trunk = _folded_trunk(stack.trunk)
        self._layers = [layer for layer, _ in parts]
        self._context = torch.cat([of_context for _, of_context in parts]).T.contiguous()
        self._bias = torch.cat([_linear(layer)[0].bias for layer in couplings])

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Standardised noise (B, A) given contexts (B, C) to standardised actions (B, A)."""
        seen = self._trunk(context)
        conditions = torch.addmm(self._bias, seen, self._context).chunk(len(self._layers), 1)
        x = z.clone()
        for layer, condition in zip(self._layers, conditions, strict=True):
            hidden = functional.silu(torch.addmm(condition, x[:, layer.kept], layer.enter))
            for weight, bias in layer.inner:
                hidden = functional.silu(torch.addmm(bias, hidden, weight))
            weight, bias = layer.leave
            x[:, layer.moved] = layer.move(x[:, layer.moved], torch.addmm(bias, hidden, weight))
        return x


def folded_couplings(stack: CouplingStack) -> FoldedCouplings | None:
    """The form for acting of a stack that has one: of layers without mixing."""
    return None if len(stack.mixings) else FoldedCouplings(stack)


def _folded_trunk(trunk: Trunk | None) -> Callable[[Tensor], Tensor]:
    """Its pass, with no calls of modules: those take longer than the products."""
    if trunk is None:
        return lambda context: context
    enter, *blocks, (scale, shift) = ([*part.parameters()] for part in trunk)
    width = [len(scale)]

    def read(context: Tensor) -> Tensor:
        x = functional.linear(context, *enter)
        for block_scale, block_shift, *first, last_weight, last_bias in blocks:
            hidden = functional.layer_norm(x, width, block_scale, block_shift)
            hidden = functional.silu(functional.linear(hidden, *first))
            x = x + functional.linear(hidden, last_weight, last_bias)
        return functional.layer_norm(x, width, scale, shift)

    return read


def _linear(layer: Coupling) -> list[nn.Linear]:
    return [part for part in layer.net if isinstance(part, nn.Linear)]


def _folded(layer: Coupling) -> tuple[_Layer, Tensor]:
    """The layer, and of its first weight what is for the context (hidden, C)."""
    enter, *inner, leave = _linear(layer)
    width, first = layer.kept, layer.transforms_first
    scale = torch.ones(len(leave.bias))
    move: _Move
    if isinstance(layer, AffineCoupling):
        bound = layer.log_scale_bound
        scale[len(scale) // 2 :] = 1.0 / bound

        def move(x: Tensor, said: Tensor) -> Tensor:
            shift, raw = said.chunk(2, 1)
            return torch.addcmul(shift, x, raw.tanh().mul_(bound).exp_())

    else:
        bound = cast("SplineCoupling", layer).bound

        def move(x: Tensor, said: Tensor) -> Tensor:
            raw = said.numpy().reshape(*x.shape, -1)
            return torch.from_numpy(spline_inverse(x.numpy(), raw, bound=bound))

    folded = _Layer(
        moved=slice(0, layer.dim - width) if first else slice(width, None),
        kept=slice(layer.dim - width, None) if first else slice(0, width),
        enter=enter.weight[:, :width].T.contiguous(),
        inner=[(part.weight.T.contiguous(), part.bias) for part in inner],
        leave=((leave.weight * scale[:, None]).T.contiguous(), leave.bias * scale),
        move=move,
    )
    return folded, enter.weight[:, width:]
