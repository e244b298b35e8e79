"""Checks of what users pass in: of the type, before anything is compared or computed."""

from __future__ import annotations

import json
import math
import os
import reprlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from parrot_wrapper.errors import InvalidArgumentError, ParrotError, require_known
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import AnyArray, FloatArray

_DOUBLE = np.dtype(np.float64)


def number_array(name: str, values: object, error: type[ParrotError]) -> AnyArray:
    """The values as an array of real numbers or booleans, copied only where they are no array yet.

    Arrays, torch tensors on any device and with gradients, numbers, nested lists of these, and all
    that offers `__array__` are taken. The result has the machine's byte order, and at most 8 bytes
    a number.
    """
    why = ""
    try:
        array = _plain_numbers(np.asarray(_without_tensors(values)))
    except Exception as problem:  # ragged lists, and whatever a foreign __array__ raises
        array, why = np.empty(0, object), f" ({' '.join(str(problem).split())})"
    if array.dtype.kind not in "bfiu":
        found = f"dtype {array.dtype}: {reprlib.repr(values)}{why}"
        raise error(f"{name}: expected an array of numbers, got {found}.")
    return array


def _without_tensors(values: Any) -> Any:
    """Torch tensors, also in lists, as arrays; a tensor would keep its gradients or its device."""
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise ValueError("some values are masked; fill or drop them")
        return values.data
    if isinstance(values, list | tuple):
        return [_without_tensors(value) for value in values]
    torch = sys.modules.get("torch")  # where it was never imported, there are no tensors
    if torch is None or not isinstance(values, torch.Tensor):
        return values
    plain = values.detach()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy(force=True)


def _plain_numbers(array: AnyArray) -> AnyArray:
    """Numbers as torch and this package compute with them."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "f" and array.dtype.itemsize > _DOUBLE.itemsize:
        with quiet_floats():
            array = array.astype(_DOUBLE)
    return array


def float_array(name: str, values: object, error: type[ParrotError]) -> FloatArray:
    """The same in float32; what is beyond its range becomes infinite."""
    given = number_array(name, values, error)
    with quiet_floats():
        return np.asarray(given, dtype=np.float32)


def index_array(name: str, values: object) -> npt.NDArray[np.int64]:
    """Integers, flattened; anything else is an `InvalidArgumentError`."""
    given = number_array(name, values, InvalidArgumentError).reshape(-1)
    if given.size and given.dtype.kind not in "iu":
        raise InvalidArgumentError(f"Expected {name} as integers, got {reprlib.repr(values)}.")
    return given.astype(np.int64)


def require_instance(
    name: str,
    value: object,
    kind: type | tuple[type, ...],
    what: str,
    error: type[ParrotError] = InvalidArgumentError,
) -> None:
    """Refuse a value that is no `kind`, in words `what`, with an error of class `error`."""
    if not isinstance(value, kind):
        raise error(f"Expected {name} as {what}, got {reprlib.repr(value)}.")


def require_count(name: str, value: object, least: int = 1) -> None:
    """Refuse anything but an integer of at least `least`; True and False are none."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or value < least:  # type: ignore[operator]
        raise InvalidArgumentError(
            f"Expected {name} >= {least}, got {reprlib.repr(value)}; it has to be an integer."
        )


def is_number(value: object) -> bool:
    """Whether it is a real number; True and False are none."""
    real = isinstance(value, int | float | np.integer | np.floating)
    return real and not isinstance(value, bool)


def require_share(name: str, value: Any) -> None:
    """Raise `InvalidArgumentError` unless `value` is a number strictly between 0 and 1."""
    if not is_number(value) or not 0.0 < value < 1.0:
        raise InvalidArgumentError(f"{name} must be in (0, 1), got {value!r}.")


def require_positive(name: str, value: Any) -> None:
    """Raise `InvalidArgumentError` unless `value` is a positive, finite number."""
    if not is_number(value) or not 0.0 < value < math.inf:
        raise InvalidArgumentError(f"{name} must be positive and finite, got {value!r}.")


def as_path(name: str, value: object) -> Path:
    """A path from text or a path, with `~` as the home folder; nothing else."""
    require_instance(name, value, (str, Path), "a folder (text or Path)")
    return Path(os.path.expanduser(value))  # type: ignore[call-overload]


def key_values(given: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """Turn `key=value` texts into keyword arguments; values are JSON, or else plain text.

    Args:
        given: The texts, or the keyword arguments themselves.

    Example:
        >>> key_values(["obs=image_proprio", "image_size=64", "terminate_on_success=true"])
        {'obs': 'image_proprio', 'image_size': 64, 'terminate_on_success': True}
    """
    if isinstance(given, Mapping):
        return dict(given)
    values: dict[str, Any] = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise InvalidArgumentError(f"Expected an option of the form key=value, got {pair!r}.")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def defaults_of(config: type[Any]) -> dict[str, Any]:
    """Defaults of a dataclass's fields by name; None where one has to be given."""
    made = {f.name: f.default_factory for f in fields(config) if f.default_factory is not MISSING}
    plain = {f.name: None if f.default is MISSING else f.default for f in fields(config)}
    return {name: made[name]() if name in made else plain[name] for name in plain}


def differences(there: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Where settings differ from earlier ones, in words; empty where they are the same."""
    return "; ".join(
        f"{key}: {there.get(key)!r} there, {given.get(key)!r} given"
        for key in sorted({*given, *there})
        if there.get(key) != given.get(key)
    )


def as_tagged(config: Any) -> dict[str, Any]:
    """A dataclass as JSON has it, with its `name` as "kind"; `from_tagged` reads it."""
    return {"kind": config.name, **json.loads(json.dumps(asdict(config)))}


def from_tagged(what: str, content: object, find: Callable[[str], type[Any]]) -> Any:
    """The dataclass that JSON such as `{"kind": "broad", "share": 0.2}` means.

    Args:
        what: It is, in words.
        content: The JSON; a dataclass stays as it is.
        find: The class of a kind, by its name.
    """
    if is_dataclass(content):
        return content
    require_instance(what, content, Mapping, 'settings such as {"kind": ...}')
    settings = dict(content)  # type: ignore[call-overload]
    kind = find(str(settings.pop("kind", None)))
    known = [entry.name for entry in fields(kind)]
    require_known(f"setting of the {what} {kind.name!r}", settings, known)
    return kind(**settings)


def check_fields(config: Any) -> None:
    """Compare the values of a dataclass with the types of its fields, before they are used.

    Lists may stand for tuples, integers for floats; numbers of NumPy become Python's own.
    """
    hints = _hints(type(config))  # type: ignore[arg-type]  # classes can be hashed
    for entry in fields(config):
        value = getattr(config, entry.name)
        if isinstance(value, np.generic):
            value = value.item()
            object.__setattr__(config, entry.name, value)
        if not _fits(value, hints[entry.name]):
            kind = entry.type if isinstance(entry.type, str) else entry.type.__name__
            raise InvalidArgumentError(
                f"Expected {entry.name} of {type(config).__name__} as {kind}, got "
                f"{reprlib.repr(value)}."
            )


@cache  # rows of results are many
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _all_fit(values: Sequence[Any], hints: tuple[Any, ...]) -> bool:
    if hints[-1] is Ellipsis:
        return all(_fits(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(_fits, values, hints))


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in arguments)
    if origin is tuple:
        return isinstance(value, tuple | list) and _all_fit(value, arguments)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and _fits(v, arguments[1]) for key, v in value.items()
        )
    if hint in (int, float):
        kinds = int if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)
