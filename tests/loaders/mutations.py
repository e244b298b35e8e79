"""Ways to damage a file: bytes, JSON values, headers of safetensors; some sealed again after it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.io.strict_json import SEAL_KEY, seal_of

Rng = np.random.Generator
_WORST: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, 10**30, -0.5, 1e308, "", "x", "..", "/etc/passwd",
    "\u0000", "../../x", [], [[]], {}, {"a": 1}, [1, 2, 3], ["x"], [None] * 3, [1e9] * 5, "9" * 300,
)  # fmt: skip
_TEXTS = (
    b"", b"{", b"null", b"[]", b"{}", b"NaN", b'{"a": NaN}', b"1e999", b"9" * 5000, b"[" * 100_000,
    b'{"a":' * 5_000, b"\xff\xfe\x00", b'"\\ud800"', b"\x00" * 64, b"PK\x03\x04" + b"\x00" * 40,
    b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16, b"\x89HDF\r\n\x1a\n" + b"\xff" * 64,
)  # fmt: skip


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def bombs(mark: Path) -> list[bytes]:
    """Malicious pickles of every protocol, alone and in the containers that loaders might open."""
    plain = [pickle.dumps(Bomb(mark), protocol) for protocol in range(6)]
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + plain[2]
    return [*plain, array, plain[0] + b"\n{}"]


def damage(content: bytes, rng: Rng, *, others: list[bytes]) -> bytes:
    """One to three random changes of bytes."""
    for _ in range(int(rng.integers(1, 4))):
        content = _BYTE_CHANGES[int(rng.integers(len(_BYTE_CHANGES)))](content, rng, others)
    return content


def _flip(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9)) if changed else 0):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    filler = [b"\x00", b"\xff", b"9", b'"', b"}", rng.bytes(1)][int(rng.integers(6))]
    return content[:start] + filler * (stop - start) + content[stop:]


def _cut(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _remove(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    return content[:start] + content[stop:]


def _repeat(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    return content[:stop] + content[start:]


def _extend(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 200)))


def _splice(content: bytes, rng: Rng, others: list[bytes]) -> bytes:
    other = others[int(rng.integers(len(others)))]
    (start, _), (first, last) = _slice(content, rng), _slice(other, rng)
    return content[:start] + other[first:last] + content[start:]


def _number(content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    """A little-endian integer of a binary header, or digits of a text, becomes an extreme one."""
    start = int(rng.integers(max(len(content) - 8, 1)))
    worst = [0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 2**40][int(rng.integers(7))]
    return content[:start] + worst.to_bytes(8, "little") + content[start + 8 :]


def _replace(_content: bytes, rng: Rng, _: list[bytes]) -> bytes:
    return _TEXTS[int(rng.integers(len(_TEXTS)))]


_BYTE_CHANGES = (
    _flip, _flip, _flip, _overwrite, _overwrite, _cut, _remove, _repeat, _extend, _splice, _number,
    _replace,
)  # fmt: skip


def _slice(content: bytes, rng: Rng) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, 65)))


def damage_json(content: bytes, rng: Rng) -> bytes:
    """One to three values, keys or places of a JSON file changed; the text stays JSON."""
    lines = content.splitlines() if content.count(b"\n{") else [content]
    chosen = int(rng.integers(len(lines)))
    value = json.loads(lines[chosen])
    for _ in range(int(rng.integers(1, 4))):
        value = _change(value, rng)
    lines[chosen] = json.dumps(value).encode()
    return b"\n".join(lines) + b"\n"


def _change(value: Any, rng: Rng) -> Any:
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        value = dict(value) if isinstance(value, dict) else list(value)
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(rng.integers(len(keys)))]
        kind = rng.random()
        if kind < 0.7:
            value[key] = _change(value[key], rng)
        elif kind < 0.85:
            del value[key]
        elif isinstance(value, dict):
            value[f"{key}{rng.integers(10)}"] = value[key]
        else:
            value.append(value[key])
        return value
    if type(value) is int and rng.random() < 0.5:
        return value + int(rng.integers(-2, 3))
    return _WORST[int(rng.integers(len(_WORST)))]


def damage_tensors(content: bytes, rng: Rng) -> bytes:
    """The JSON header of a safetensors file changed, its length put right again."""
    length = int.from_bytes(content[:8], "little")
    header = damage_json(content[8 : 8 + length], rng).rstrip()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def seal_again(path: Path) -> None:
    """Put every checksum right around an altered file, as someone would who means harm."""
    folder = path.parent
    for name in ("prior.json", "checkpoint.json", f"{path.stem}.json"):
        _reseal(folder / name)


def _reseal(path: Path) -> None:
    try:
        content = json.loads(path.read_bytes())
        stored = content["weights"] if path.name == "prior.json" else content
        if path.name == "prior.json":
            weights = (path.parent / "weights.safetensors").read_bytes()
            stored.update(bytes=len(weights), sha256=hashlib.sha256(weights).hexdigest())
        elif isinstance(content.get("sha256"), dict):
            for name in content["sha256"]:
                digest = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
                content["sha256"][name] = digest
        elif path.with_suffix(".h5").exists():
            digest = hashlib.sha256(path.with_suffix(".h5").read_bytes()).hexdigest()
            content["sha256"] = digest
        key = "sha256" if path.name == "prior.json" else SEAL_KEY
        content[key] = seal_of(content, key=key)
        path.write_text(json.dumps(content))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return  # too broken for a seal
