"""Checkpoints of prior training: one safetensors file that holds tensors and state, no pickle.

One file, because replacing a file is atomic and replacing a folder is not quite. The state stands
as JSON in the file's header, with a SHA-256 of the tensors: names, types, shapes and bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors import torch as safetensors_torch
from torch import Tensor

from parrot_wrapper.checks import differences
from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.io.atomic_files import atomic_path
from parrot_wrapper.io.strict_json import parse_json

FORMAT_VERSION = 2
CHECKPOINT_FILE = "checkpoint.safetensors"
_TYPE = "parrot-prior-training"
_NO_TENSORS = (KeyError, ValueError, RuntimeError, TypeError)
"""What safetensors raises beside its own error, such as for types that torch does not have."""


def write_training_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write tensors and JSON-able state to `path`, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {
        "format_version": str(FORMAT_VERSION),
        "type": _TYPE,
        "state": json.dumps(state, allow_nan=False),
    }
    header["sha256"] = _seal(plain, header["state"])
    content = safetensors_torch.save(plain, metadata=header)
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def read_training_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_training_checkpoint` wrote: tensors on the CPU, and state."""
    try:
        content = path.read_bytes()
        tensors = safetensors_torch.load(content)
        header = _metadata(content)
    except (OSError, safetensors.SafetensorError, *_NO_TENSORS) as error:
        raise CheckpointError(
            f"{path}: expected a training checkpoint, found a damaged file ({error}); "
            "delete it to start again."
        ) from error
    if header.get("type") != _TYPE:
        raise CheckpointError(f"{path}: expected type {_TYPE!r}, found {header.get('type')!r}.")
    version = header.get("format_version", "")
    if version not in _SEALS:
        raise CheckpointError(
            f"{path}: expected format version {FORMAT_VERSION}, found {version!r}; a newer format "
            "needs a newer parrot-wrapper."
        )
    if header.get("sha256") != _SEALS[version](tensors, header.get("state", "")):
        raise CheckpointError(f"{path}: the file was altered: its SHA-256 does not fit.")
    try:
        state = parse_json(header["state"])
    except ValueError as error:
        raise CheckpointError(f"{path}: expected its state as JSON ({error}).") from error
    if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
        raise CheckpointError(f"{path}: expected the state of a training, found something else.")
    return tensors, state


def require_same_run(
    path: Path, stored: Mapping[str, Any], now: Mapping[str, Any], *, free: frozenset[str]
) -> None:
    """Refuse to continue a run with other settings.

    Args:
        path: The checkpoint, for the message.
        stored: Settings that the run began with, nested mappings.
        now: Settings it is asked to continue with.
        free: Dotted keys that may differ, because they do not change the result.
    """
    before, after = ({**_flat(told), **dict.fromkeys(free)} for told in (stored, now))
    if differing := differences(before, after):
        raise CheckpointError(
            f"{path}: this run began with other settings: {differing}. Use the same settings to "
            "resume it, or another folder to start anew."
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file that was found whole."""
    length = int.from_bytes(content[:8], "little")
    found = parse_json(content[8 : 8 + length]).get("__metadata__", {})
    return found if isinstance(found, dict) else {}


def _seal(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _first_seal(tensors: Mapping[str, Tensor], state: str) -> str:
    """That of format 1, which left types and shapes aside."""
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


_SEALS = {"1": _first_seal, "2": _seal}
