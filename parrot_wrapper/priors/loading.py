"""From a packaged name or a folder to a prior that is ready to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import (
    CheckpointError,
    InvalidArgumentError,
    UnknownNameError,
    absence,
    unknown_name,
)
from parrot_wrapper.priors.checkpoint import HEADER_FILE, WEIGHTS_FILE, StoredPrior, read_prior
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.encoders.image_encoder import ImageEncoder
from parrot_wrapper.priors.registry import ENCODERS, PRIORS
from parrot_wrapper.priors.trainable import prior_kind
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.types import VECTORS

PACKAGED_PRIORS = Path(__file__).parents[1] / "assets" / "priors"
"""Folder of the priors that come with the package, one folder each."""

_SLACK = 64 * 2**20
"""For what is no weight: grids of coordinates, a pass that learns a shape."""

RUN_SUBFOLDER = "prior"
"""Where a training run keeps the prior that came out of it."""


def packaged_names() -> list[str]:
    """Names of the priors that come with the package."""
    return sorted(path.parent.name for path in PACKAGED_PRIORS.glob(f"*/{HEADER_FILE}"))


@own_surroundings()
def load_prior(name_or_folder: str | Path, *, device: str | torch.device = "cpu") -> EncoderPrior:
    """Load a prior by packaged name ("parrot-v0") or from a folder that `prior.save` wrote.

    Args:
        name_or_folder: A packaged name, which goes first, a prior's folder, or the folder of the
            training run that made it.
        device: Where the weights go.

    Returns:
        The prior, frozen and in eval mode.

    Raises:
        UnknownNameError: Neither a packaged name nor a folder; the nearest name is given.
        CheckpointError: Truncated, altered, foreign or of a newer format; nothing is loaded.
        InvalidArgumentError: No such device, or neither text nor a path.
    """
    as_path("a prior's name or folder", name_or_folder)
    target = existing_device(device)
    folder = _folder_of(name_or_folder)
    stored = read_prior(folder)
    prior = _build(folder, stored)
    prior.requires_grad_(False)
    return prior.to(target)


def existing_device(device: str | torch.device) -> torch.device:
    """The torch device of this name."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(
            f"Expected a torch device such as 'cpu', got {device!r}."
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InvalidArgumentError(
            f"Device {device!r} was asked for, but torch sees no GPU; use 'cpu'."
        )
    return found


def _folder_of(name_or_folder: str | Path) -> Path:
    if isinstance(name_or_folder, str) and name_or_folder in packaged_names():
        return PACKAGED_PRIORS / name_or_folder
    folder = as_path("a prior's name or folder", name_or_folder)
    if folder.is_dir():
        of_run = folder / RUN_SUBFOLDER
        inside = not (folder / HEADER_FILE).exists() and (of_run / HEADER_FILE).exists()
        return of_run if inside else folder
    if isinstance(name_or_folder, str) and folder.name == name_or_folder:
        error = unknown_name("prior", name_or_folder, packaged_names())
        raise UnknownNameError(f"{error}{absence(folder)}")
    raise CheckpointError(
        f"{folder}: expected a prior's folder, found no such folder.{absence(folder)}"
    )


def _build(folder: Path, stored: StoredPrior) -> EncoderPrior:
    try:
        kind = prior_kind(stored.type_tag)
    except UnknownNameError as error:
        raise CheckpointError(
            f"{folder / HEADER_FILE}: expected a prior of type {', '.join(PRIORS.names())}, found "
            f"{stored.type_tag!r}; it needs the package that offers it, or a newer parrot-wrapper."
        ) from error
    if not issubclass(kind, EncoderPrior):
        raise CheckpointError(
            f"{folder / HEADER_FILE}: expected a prior, found {stored.type_tag!r}, an actor for "
            "RL to start from (initial_actor)."
        )
    n_bytes = sum(tensor.nbytes for tensor in stored.tensors.values())
    try:
        with _Limit(n_bytes):
            config = kind.config_class.from_dict(stored.config)
            prior = kind(_as_read(config, stored.tensors), metadata=stored.metadata)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        # what building a prior from an altered config brings
        raise CheckpointError(f"{folder / HEADER_FILE}: {e}") from e
    _check_tensors(folder / WEIGHTS_FILE, prior.state_dict(), stored.tensors)
    prior.load_state_dict(stored.tensors, strict=True)
    return prior


def _as_read(config: PriorConfig, tensors: Mapping[str, Tensor]) -> PriorConfig:
    """The config without vectors beside the image that its encoder never read.

    Encoders of earlier versions left some aside; they kept no scale of these.
    """
    spec, encoder = config.observation, ENCODERS.get(config.encoder)
    ours = isinstance(encoder, type) and issubclass(encoder, ImageEncoder)
    if not ours or spec.image is None or spec.cameras:
        return config
    unread = [
        part for part in VECTORS if f"encoder.{part}.mean" not in tensors and getattr(spec, part)
    ]
    if not unread:
        return config
    left: dict[str, Any] = dict.fromkeys(unread, 0)
    return replace(config, observation=replace(spec, **left))


def _check_tensors(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unknown:
        raise CheckpointError(
            f"{path}: tensors do not fit the config; missing: {missing}, unknown: {unknown}."
        )
    for name, tensor in sorted(found.items()):
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise CheckpointError(
                f"{path}: tensor {name}: expected {tuple(expected[name].shape)} "
                f"{expected[name].dtype}, found {tuple(tensor.shape)} {tensor.dtype}."
            )


class _Limit(TorchFunctionMode):
    """Stops the making of modules whose weights take far more than `n_bytes`.

    Layers make their weights by `torch.empty`, which costs nothing until it is filled: a config
    that was altered to ask for terabytes is refused before any memory is used.
    """

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
