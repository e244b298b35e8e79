"""From a packaged name or a folder to a prior that is ready to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, UnknownNameError
from parrot_wrapper.names import absence, unknown_name
from parrot_wrapper.priors.allocation import allocation_limit
from parrot_wrapper.priors.checkpoint import HEADER_FILE, WEIGHTS_FILE, StoredPrior, read_prior
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.cvae import CVAEPrior
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.encoders.image_encoder import VECTORS
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.priors.trajectory import TrajectoryVAEPrior
from parrot_wrapper.priors.vae_features import VAEFeatures

PACKAGED_PRIORS = Path(__file__).parents[1] / "assets" / "priors"
"""Folder of the priors that come with the package, one folder each."""

PRIORS: dict[str, type[EncoderPrior]] = {
    kind.type_tag: kind for kind in (FlowPrior, CVAEPrior, TrajectoryVAEPrior, VAEFeatures)
}
"""Kinds of prior by the `type` in their header."""

_MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What building a prior from an altered config brings."""

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
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(
            f"Expected a torch device such as 'cpu', got {device!r}."
        ) from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise InvalidArgumentError(f"Device {device!r} was asked for, but torch sees no GPU.")
    folder = _folder_of(name_or_folder)
    stored = read_prior(folder)
    prior = _build(folder, stored)
    prior.requires_grad_(False)
    return prior.to(target)


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
    kind = PRIORS.get(stored.type_tag)
    if kind is None:
        raise CheckpointError(
            f"{folder / HEADER_FILE}: expected a prior of type {', '.join(PRIORS)}, found "
            f"{stored.type_tag!r}; a newer one needs a newer parrot-wrapper."
        )
    n_bytes = sum(tensor.nbytes for tensor in stored.tensors.values())
    try:
        with allocation_limit(n_bytes):
            config = kind.config_class.from_dict(stored.config)
            prior = kind(_as_read(config, stored.tensors), metadata=stored.metadata)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(f"{folder / HEADER_FILE}: {error}") from error
    _check_tensors(folder / WEIGHTS_FILE, prior.state_dict(), stored.tensors)
    prior.load_state_dict(stored.tensors, strict=True)
    return prior


def _as_read(config: PriorConfig, tensors: Mapping[str, Tensor]) -> PriorConfig:
    """The config without vectors beside the image that its encoder never read.

    Encoders of earlier versions left some aside; they kept no scale of these.
    """
    spec = config.observation
    unread = [
        part
        for part in VECTORS
        if spec.image is not None and f"encoder.{part}.mean" not in tensors and getattr(spec, part)
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
