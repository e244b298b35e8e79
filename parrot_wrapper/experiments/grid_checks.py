"""Checks of what a grid's file may hold, with messages for those who write one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

from parrot_wrapper.checks import require_instance
from parrot_wrapper.errors import InvalidArgumentError, require_known

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")
_FROM_GRID = frozenset(
    [
        "env_id",
        "env_kwargs",
        "prior",
        "demonstrations",
        "initial_actor",
        "total_steps",
        "seed",
        "device",
    ]
)
"""Settings of `RLConfig` that follow from other fields of a grid."""


def plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON holds it: lists in place of tuples."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(value)))
    return content


def fields_of(kind: type[Any], what: str, content: object) -> dict[str, Any]:
    """The keys of `content` as arguments of the dataclass `kind`."""
    if not isinstance(content, Mapping):
        raise InvalidArgumentError(f"Expected {what} as a mapping of its fields, got {content!r}.")
    known = {entry.name: entry for entry in fields(kind)}
    require_known(f"field of {what}", content, known)
    needed = (
        name
        for name, entry in known.items()
        if entry.default is MISSING and entry.default_factory is MISSING
    )
    missing = [name for name in needed if name not in content]
    if missing:
        raise InvalidArgumentError(f"Expected {what} with {', '.join(missing)}, which it lacks.")
    return dict(content)


def entries(name: str, value: object) -> Sequence[Any]:
    """A list (or tuple) as it is; anything else is an `InvalidArgumentError`, as below."""
    require_instance(name, value, (list, tuple), "a list")
    assert isinstance(value, list | tuple)
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """A list of different texts, at least one, as a tuple."""
    return _different(name, value, "texts", lambda entry: isinstance(entry, str) and entry != "")


def seeds(name: str, value: object) -> tuple[int, ...]:
    """A list of different integers from 0 on, at least one, as a tuple."""
    return _different(name, value, "integers from 0 on", _is_seed)


def _is_seed(entry: object) -> bool:
    return isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0


def _different(
    name: str, value: object, what: str, good: Callable[[object], bool]
) -> tuple[Any, ...]:
    found = entries(name, value)
    if not found or not all(map(good, found)) or len(set(found)) < len(found):
        raise InvalidArgumentError(
            f"Expected {name} as a list of different {what}, at least one, got {list(found)}."
        )
    return tuple(found)


def require_name(name: str, value: object) -> None:
    """Refuse what cannot be part of a folder's name."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidArgumentError(
            f"Expected {name} of letters, digits, '.', '_' and '-' between them, got {value!r}."
        )


def require_options(name: str, value: object) -> None:
    """Refuse what is no JSON-able mapping with names as keys."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"Expected {name} to be JSON-able: {error}.") from error
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidArgumentError(f"Expected {name} as a mapping of options, got {value!r}.")


def require_nested_options(name: str, value: object) -> None:
    """Refuse what is no mapping of names to options."""
    require_options(name, value)
    assert isinstance(value, Mapping)
    for key, options in value.items():
        require_options(f"{name}[{key!r}]", options)


def require_open(settings: Mapping[str, Any]) -> None:
    """Refuse settings of an agent that follow from the grid's other fields."""
    taken = [key for key in settings if key in _FROM_GRID]
    raw = settings.get("raw_actions", {})
    if not isinstance(raw, Mapping) or not set(raw) <= {"kind", "explore"}:
        taken.append("raw_actions beside its explore")
    if taken:
        raise InvalidArgumentError(
            f"Expected RL settings that the grid leaves open, got {', '.join(taken)}: they follow "
            "from its other fields and the method."
        )
