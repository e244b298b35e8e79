"""A prior on disk: a folder with `prior.json` and `weights.safetensors`; strict, never pickle.

`prior.json` has the keys of `_KEYS`: the format's version, the prior's type tag, its config (with
observation shapes and action box), size and SHA-256 of the weights file, free-form metadata (env
id, camera, data hash, metrics), library versions, and a SHA-256 of all of that, so that a folder
altered in either file is refused.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
from safetensors import torch as safetensors_torch
from torch import Tensor

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, absence
from parrot_wrapper.io.atomic_files import atomic_folder, write_json
from parrot_wrapper.io.strict_json import read_stamped, seal_of
from parrot_wrapper.registry import installed_versions
from parrot_wrapper.surroundings import own_surroundings

if TYPE_CHECKING:
    from parrot_wrapper.priors.trainable import Trainable

FORMAT_VERSION = 1
HEADER_FILE = "prior.json"
WEIGHTS_FILE = "weights.safetensors"
_KEYS = ("format_version", "type", "config", "weights", "metadata", "versions", "sha256")
_DISTRIBUTIONS = ("parrot-wrapper", "torch", "numpy", "safetensors")


@dataclass(frozen=True)
class StoredPrior:
    """What a checked folder holds.

    Attributes:
        type_tag: Which class of prior it is.
        config: The argument of that class's config's `from_dict`.
        tensors: Weights by name, on the CPU.
        metadata: Facts kept beside the weights.
    """

    type_tag: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


@own_surroundings()
def save_prior(
    prior: Trainable, folder: str | Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write `prior` to `folder`, whole or not at all; an existing prior there is replaced.

    Args:
        prior: The prior.
        folder: Target; parents are made.
        metadata: JSON-able facts to store instead of the prior's own.
    """
    target = as_path("folder", folder)
    if target.exists() and not (target / HEADER_FILE).is_file() and any(target.iterdir()):
        raise InvalidArgumentError(
            f"{target} holds files but no prior; choose a new or empty folder to save into."
        )
    header: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "type": prior.type_tag,
        "config": prior.config.to_dict(),
        "metadata": dict(prior.metadata if metadata is None else metadata),
        "versions": library_versions(),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in prior.state_dict().items()
    }
    content = safetensors_torch.save(tensors)
    header["weights"] = {
        "file": WEIGHTS_FILE,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        header["sha256"] = _seal(header)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"The prior's metadata must be JSON-able: {error}.") from error
    with atomic_folder(target) as partial:
        (partial / WEIGHTS_FILE).write_bytes(content)
        write_json(partial / HEADER_FILE, header)


@own_surroundings()
def read_prior(folder: str | Path) -> StoredPrior:
    """Read and check a prior's folder."""
    target = as_path("folder", folder)
    header = _read_header(target / HEADER_FILE)
    tensors = _read_weights(target, header)
    return StoredPrior(header["type"], header["config"], tensors, header["metadata"])


def library_versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python and of the libraries that a stored prior depends on.

    Args:
        more: Other distributions to name; those that are not installed are left out.
    """
    return {"python": platform.python_version(), **installed_versions((*_DISTRIBUTIONS, *more))}


def _seal(header: Mapping[str, Any]) -> str:
    return seal_of(header, key="sha256")


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: expected a prior's header here, found no such file.{absence(path.parent)}"
        )
    header = read_stamped(path, CheckpointError, newest=FORMAT_VERSION)
    _check_keys(path, header)
    if header["sha256"] != _seal(header):
        raise CheckpointError(
            f"{path}: the file was altered: expected SHA-256 {header['sha256']}, "
            f"found {_seal(header)}."
        )
    return header


def _check_keys(path: Path, header: Mapping[str, Any]) -> None:
    unknown, missing = sorted(set(header) - set(_KEYS)), sorted(set(_KEYS) - set(header))
    for found, what in ((unknown, "unknown"), (missing, "missing")):
        if found:
            raise CheckpointError(f"{path}: {what} key(s) {', '.join(found)}; expected {_KEYS}.")
    objects = dict.fromkeys(("config", "metadata", "weights", "versions"), dict)
    for key, kind in {"type": str, **objects}.items():
        if not isinstance(header[key], kind):
            what = "text" if kind is str else "an object"
            raise CheckpointError(f"{path}: expected {key!r} to be {what}, found {header[key]!r}.")


def _read_weights(folder: Path, header: Mapping[str, Any]) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    expected = header["weights"]
    if expected.get("file") != WEIGHTS_FILE or not path.is_file():
        raise CheckpointError(f"{path}: expected the weights here, found no such file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}).") from error
    if len(content) != expected.get("bytes"):
        raise CheckpointError(
            f"{path}: expected {expected.get('bytes')} bytes, found {len(content)} (truncated?)."
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected.get("sha256"):
        raise CheckpointError(
            f"{path}: the file was altered: expected SHA-256 {expected.get('sha256')}, "
            f"found {digest}."
        )
    try:
        return safetensors_torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}).") from error
