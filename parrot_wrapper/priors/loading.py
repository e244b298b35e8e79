"""From a packaged name or a folder to a prior that is ready to use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from parrot_wrapper.errors import CheckpointError, ParrotError
from parrot_wrapper.names import unknown_name
from parrot_wrapper.priors.checkpoint import HEADER_FILE, WEIGHTS_FILE, StoredPrior, read_prior
from parrot_wrapper.priors.config import FlowPriorConfig
from parrot_wrapper.priors.flow import FlowPrior

PACKAGED_PRIORS = Path(__file__).parents[1] / "assets" / "priors"
"""Folder of the priors that come with the package, one folder each."""


def packaged_names() -> list[str]:
    """Names of the priors that come with the package."""
    return sorted(path.parent.name for path in PACKAGED_PRIORS.glob(f"*/{HEADER_FILE}"))


def load_prior(name_or_folder: str | Path, *, device: str | torch.device = "cpu") -> FlowPrior:
    """Load a prior by packaged name ("parrot-v0") or from a folder that `prior.save` wrote.

    Args:
        name_or_folder: A packaged name, which goes first, or a folder.
        device: Where the weights go.

    Returns:
        The prior, frozen and in eval mode.

    Raises:
        UnknownNameError: Neither a packaged name nor a folder; the nearest name is given.
        CheckpointError: Truncated, altered, foreign or of a newer format; nothing is loaded.
    """
    folder = _folder_of(name_or_folder)
    stored = read_prior(folder)
    if stored.type_tag != FlowPrior.type_tag:
        raise CheckpointError(
            f"{folder / HEADER_FILE}: expected a prior of type {FlowPrior.type_tag!r}, "
            f"found {stored.type_tag!r}."
        )
    prior = _build(folder, stored)
    prior.requires_grad_(False)
    return prior.to(device)


def _folder_of(name_or_folder: str | Path) -> Path:
    if isinstance(name_or_folder, str) and name_or_folder in packaged_names():
        return PACKAGED_PRIORS / name_or_folder
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, str) and folder.name == name_or_folder:
        raise unknown_name("prior", name_or_folder, packaged_names())
    raise CheckpointError(f"{folder}: expected a prior's folder, found no such folder.")


def _build(folder: Path, stored: StoredPrior) -> FlowPrior:
    try:
        config = FlowPriorConfig.from_dict(stored.config)
        prior = FlowPrior(config, metadata=stored.metadata)
    except ParrotError as error:
        raise CheckpointError(f"{folder / HEADER_FILE}: {error}") from error
    _check_tensors(folder / WEIGHTS_FILE, prior.state_dict(), stored.tensors)
    prior.load_state_dict(stored.tensors, strict=True)
    return prior


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
