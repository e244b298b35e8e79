"""What takes the gradient steps of a prior: Muon for its matrices, and Adam for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_MOMENTS = ("exp_avg", "exp_avg_sq")
_MOMENTUM = 0.95
_SMALLEST = 8
"""Rows and columns of a matrix at least; smaller ones, and vectors, are for Adam."""
_SIZE = 0.3
"""Root mean square of an update's numbers, in learning rates. Adam's are about as large."""
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Optimiser:
    """Muon (Jordan et al. 2024) for matrices and kernels of convolutions, and Adam for the rest.

    Muon's update of a matrix is its averaged gradient with all singular values set to about 1. It
    is scaled so that its numbers are about as large as Adam's, so that one learning rate serves
    both (Liu et al. 2025). `torch.optim.Muon` takes no kernels, and rounds to bfloat16,
    which is slow on most processors.

    Args:
        named: The parameters, by name.
        muon: False for Adam alone.
    """

    def __init__(self, named: Iterable[tuple[str, Tensor]], *, muon: bool) -> None:
        self._named = dict(named)
        self._adam = torch.optim.Adam(self._named.values(), fused=True)
        self._momenta = {
            name: torch.zeros_like(parameter.flatten(1))
            for name, parameter in self._named.items()
            if muon and parameter.ndim >= 2 and min(parameter.flatten(1).shape) >= _SMALLEST
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters against their gradients, which are gone then."""
        for name, momentum in self._momenta.items():
            parameter = self._named[name]
            if parameter.grad is None:
                continue
            gradient = parameter.grad.flatten(1)  # outputs by inputs
            momentum.lerp_(gradient, 1.0 - _MOMENTUM)
            update = orthogonal(gradient.lerp(momentum, _MOMENTUM))  # as Nesterov's
            scale = _SIZE * max(update.shape) ** 0.5
            parameter.sub_(update.view_as(parameter), alpha=learning_rate * scale)
            parameter.grad = None  # Adam leaves it alone
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        stored = {f"muon/{name}": momentum for name, momentum in self._momenta.items()}
        for name, parameter in self._named.items():
            for moment, value in self._adam.state.get(parameter, {}).items():
                stored[f"adam/{moment}/{name}"] = value
        return stored

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Continue from `tensors`' output; names that do not fit raise KeyError or RuntimeError."""
        for name, momentum in self._momenta.items():
            momentum.copy_(stored[f"muon/{name}"])
        for name, parameter in self._named.items():
            if f"adam/step/{name}" not in stored:  # the parameter has had no gradient yet
                continue
            self._adam.state[parameter] = {
                "step": stored[f"adam/step/{name}"].to(parameter.device, torch.float32),
                **{
                    moment: torch.empty_like(parameter.data).copy_(stored[f"adam/{moment}/{name}"])
                    for moment in _MOMENTS
                },
            }


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (R, C) with its singular values moved to about 1, between 0.7 and 1.2.

    By Newton and Schulz's iteration with the coefficients of Jordan et al. 2024.

    Example:
        >>> found = orthogonal(torch.diag(torch.tensor([3.0, 1.0, 0.5])))
        >>> bool(((0.6 < found.diagonal()) & (found.diagonal() < 1.3)).all())
        True
    """
    a, b, c = _QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T
