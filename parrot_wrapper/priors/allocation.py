"""A bound on the memory that building a module may ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from parrot_wrapper.errors import CheckpointError

_SLACK = 64 * 2**20
"""For what is no weight: grids of coordinates, a pass that learns a shape."""


class _Limit(TorchFunctionMode):
    """Counts the bytes of tensors made by `torch.empty`, as layers make their weights."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self._left = n_bytes + _SLACK

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.empty and isinstance(result, Tensor):
            self._left -= result.nbytes
            if self._left < 0:
                raise CheckpointError(
                    "its config asks for more weights than the weights file can hold"
                )
        return result


@contextmanager
def allocation_limit(n_bytes: int) -> Iterator[None]:
    """Stop the making of modules whose weights take far more than `n_bytes`.

    A tensor of `torch.empty` costs nothing until it is filled, so a config that was altered to ask
    for terabytes is refused before any memory is used.

    Raises:
        CheckpointError: More was asked for.
    """
    with _Limit(n_bytes):
        yield
