"""Forms of a module for acting: made of its weights once, and again when these have changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeAlias, TypeVar

from torch import Tensor, nn

_Module = TypeVar("_Module", bound=nn.Module)
_Form = TypeVar("_Form")
_Mark: TypeAlias = tuple[int, int, bool]


class Folded(Generic[_Module, _Form]):
    """Keeps what `fold` makes of a frozen module.

    That weights changed is seen from their version counters and addresses, so `load_state_dict`,
    in-place operations and other tensors in their place are noticed. Fused optimisers and writing
    through `tensor.data` are not, therefore a module with weights that train has no form, and who
    begins training calls `forget`. Copies and pickles begin empty: a form is quickly made again,
    and may hold what belongs to one thread.
    """

    def __init__(self, fold: Callable[[_Module], _Form]) -> None:
        self._fold = fold
        self.forget()

    def __reduce__(self) -> tuple[type[Folded[_Module, _Form]], tuple[Callable[[_Module], _Form]]]:
        return type(self), (self._fold,)

    def forget(self) -> None:
        """Drop the form; the next one is made of the weights as they are then."""
        self._module: _Module | None = None
        self._form: _Form | None = None
        self._places: list[tuple[Mapping[str, Tensor | None], str]] = []
        self._tensors: list[Tensor | None] = []  # kept, so that no other gets their addresses
        self._marks: list[_Mark] = []

    def of(self, module: _Module) -> _Form | None:
        """The form of this module with its present weights; None where some of them train."""
        if module is self._module and self._marks == _marks(self._places):
            return self._form
        self._module = module
        self._places = [
            (own, name)
            for part in module.modules()
            for own in (part._parameters, part._buffers)
            for name in own
        ]
        self._tensors = [own[name] for own, name in self._places]
        self._marks = _marks(self._places)
        trains = any(own.requires_grad for own in self._tensors if own is not None)
        self._form = None if trains else self._fold(module)
        return self._form


def _marks(places: list[tuple[Mapping[str, Tensor | None], str]]) -> list[_Mark]:
    return [_mark(own[name]) for own, name in places]


def _mark(tensor: Tensor | None) -> _Mark:
    if tensor is None:
        return 0, 0, False
    version = 0 if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.requires_grad
