"""JSON that is read with one kind of error, and the seal that shows whether it was altered."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from parrot_wrapper.errors import ParrotError, absence
from parrot_wrapper.io.remote import Place

_MOST_NESTED = 64
SEAL_KEY = "seal"
"""Where a sealed JSON object has the SHA-256 of all its other keys."""


def parse_json(content: bytes | str) -> Any:
    """The value that a JSON text holds."""
    text = content if isinstance(content, str) else content.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("[") + text.count("{") > _MOST_NESTED:
        _require_shallow(value, _MOST_NESTED)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def seal_of(content: Mapping[str, Any], *, key: str = SEAL_KEY) -> str:
    """SHA-256, in hexadecimal, of a JSON object without `key`; the order of keys is left aside.

    Example:
        >>> seal_of({"a": 1, "b": (2,), "seal": "?"}) == seal_of({"b": [2], "a": 1})
        True
    """
    rest = {name: value for name, value in content.items() if name != key}
    # as it will be read again: keys that are numbers become text, which sorts in another order
    plain = json.loads(json.dumps(rest, allow_nan=False))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its seal, to be written; see `seal_of` for what is refused."""
    return {**content, SEAL_KEY: seal_of(content)}


def breaks_seal(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object was altered; one from before there were seals counts as whole."""
    return SEAL_KEY in content and content[SEAL_KEY] != seal_of(content)


def read_stamped(
    path: Place, error: type[ParrotError], *, newest: int = 1, **kind: str
) -> dict[str, Any]:
    """One of our JSON files: of the right kind, of a format that is known, and not altered.

    Args:
        path: The file.
        error: What is raised.
        newest: Newest format version that is read.
        **kind: A key and what it has to say, such as type="parrot-rl"; none where any will do.

    Returns:
        Its content without the seal, if it has one.
    """
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise error(
            f"{path}: expected JSON, found none or a damaged file ({problem}).{absence(path)}"
        ) from problem
    told = content if isinstance(content, dict) else {}
    for key, wanted in kind.items():
        if told.get(key) != wanted:
            raise error(f"{path}: expected {key} {wanted!r}, found a foreign {told.get(key)!r}.")
    version = told.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise error(f"{path}: expected a format_version of 1 or more, found {version!r}.")
    if version > newest:
        raise error(
            f"{path}: format version {version} is newer than {newest}, the newest that this "
            "installation reads; upgrade parrot-wrapper."
        )
    if breaks_seal(told):
        raise error(f"{path}: altered: its {SEAL_KEY} does not fit its content. Copy it again.")
    return {name: value for name, value in told.items() if name != SEAL_KEY}


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"holds {digits[:20]}, which is beyond all floats")
    return value


def _require_shallow(value: Any, levels: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not levels:
        raise ValueError("nested too deeply")
    for part in value.values() if isinstance(value, dict) else value:
        _require_shallow(part, levels - 1)
