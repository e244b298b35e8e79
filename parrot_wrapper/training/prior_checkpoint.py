"""Checkpoints of prior training: one safetensors file that holds tensors and state, no pickle.

One file, because replacing a file is atomic and replacing a folder is not quite. The state stands
as JSON in the file's header, with a SHA-256 of the tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save_file
from torch import Tensor

from parrot_wrapper.atomic_files import atomic_path
from parrot_wrapper.errors import CheckpointError

FORMAT_VERSION = 1
CHECKPOINT_FILE = "checkpoint.safetensors"
_TYPE = "parrot-prior-training"


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
    with atomic_path(path) as partial:
        save_file(plain, partial, metadata=header)


def read_training_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_training_checkpoint` wrote: tensors on the CPU, and state.

    Raises:
        CheckpointError: Truncated, altered, foreign or of a newer format.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as stream:
            header = stream.metadata() or {}
            tensors: dict[str, Tensor] = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  # not a mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected a training checkpoint, found a damaged file ({error}); "
            "delete it to start again."
        ) from error
    if header.get("type") != _TYPE:
        raise CheckpointError(f"{path}: expected type {_TYPE!r}, found {header.get('type')!r}.")
    version = header.get("format_version", "")
    if version != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{path}: expected format version {FORMAT_VERSION}, found {version!r}; a newer format "
            "needs a newer parrot-wrapper."
        )
    if header.get("sha256") != _seal(tensors, header.get("state", "")):
        raise CheckpointError(f"{path}: the file was altered: its SHA-256 does not fit.")
    state: dict[str, Any] = json.loads(header["state"])
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

    Raises:
        CheckpointError: Settings differ; every differing key is named with both values.
    """
    before, after = _flat(stored), _flat(now)
    differing = [
        f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if key not in free and before.get(key) != after.get(key)
    ]
    if differing:
        raise CheckpointError(
            f"{path}: this run began with other settings: {'; '.join(differing)}. Use the same "
            "settings to resume it, or another folder to start anew."
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _seal(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
