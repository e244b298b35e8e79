"""The NumPy boundary of a prior: arrays of users in, checked tensors out, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from parrot_wrapper.checks import number_array
from parrot_wrapper.errors import (
    InvalidArgumentError,
    LatentError,
    ParrotError,
    SpaceMismatchError,
)
from parrot_wrapper.types import AnyArray, FloatArray, Observations, ObservationSpec

_PIXELS = 128**2
"""Of an observation, up to which batches are whole."""


def observation_arrays(obs: Observations, spec: ObservationSpec) -> dict[str, AnyArray]:
    """Bring a batch of observations to one array for each part of `spec`.

    Args:
        obs: An array where `spec` has one part only, else a mapping of parts by name; further
            keys are ignored.
        spec: What the prior looks at.
    """
    expected, images = spec.parts, spec.images
    if not isinstance(obs, Mapping):
        if len(expected) != 1:
            raise SpaceMismatchError(
                f"Expected a mapping with the keys {', '.join(expected)}, got an array; "
                "this prior was trained on Dict observations."
            )
        obs = {next(iter(expected)): obs}
    parts = {key: number_array(key, obs[key], SpaceMismatchError) for key in expected if key in obs}
    problems = [
        f"{key}: expected {_describe(shape, key in images)}, "
        + (f"got shape {parts[key].shape} {parts[key].dtype}" if key in parts else "got none")
        for key, shape in expected.items()
        if key not in parts or not _fits(parts[key], shape, is_image=key in images)
    ]
    sizes = {key: len(part) for key, part in parts.items() if part.ndim}
    problems += [
        f"{key}: expected finite numbers, got NaN or infinity"
        for key, part in parts.items()
        if part.dtype != np.uint8 and not np.isfinite(part).all()
    ]
    if not problems and len(set(sizes.values())) > 1:
        problems = [f"the parts have different batch sizes {sizes}"]
    if problems:
        raise SpaceMismatchError("Observations do not fit the prior. " + "; ".join(problems) + ".")
    return parts


def rows_at_once(spec: ObservationSpec, most: int) -> int:
    """How many observations to take in one pass: so many, or fewer where images are large."""
    pixels = sum(height * width for height, width, _ in spec.images.values())
    return most if pixels <= _PIXELS else max(2, most * _PIXELS // pixels // 2 * 2)


def _describe(shape: tuple[int, ...], is_image: bool) -> str:
    return f"shape (B, {', '.join(map(str, shape))}) {'uint8' if is_image else 'float32'}"


def _fits(part: AnyArray, shape: tuple[int, ...], *, is_image: bool) -> bool:
    right_type = part.dtype == np.uint8 if is_image else np.issubdtype(part.dtype, np.floating)
    return right_type and part.ndim == len(shape) + 1 and part.shape[1:] == shape


def vectors(name: str, values: AnyArray, shape: tuple[int, ...], *, like: Tensor) -> Tensor:
    """A checked tensor (B, *shape) of `like`'s dtype and device, from numbers called `name`."""
    error: type[ParrotError] = LatentError if name == "latent" else InvalidArgumentError
    array = number_array(f"{name} (float32)", values, error)
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        expected = ", ".join(map(str, shape))
        raise error(f"{name}: expected shape (B, {expected}), got {array.shape}; add a batch axis.")
    if array.dtype == np.bool_:
        raise error(f"{name}: expected float32, got {array.dtype}.")
    if not np.isfinite(array).all():
        raise error(f"{name}: expected finite numbers, got NaN or infinity.")
    return as_tensor(array, like.device).to(like.dtype)


def as_tensor(array: AnyArray, device: torch.device) -> Tensor:
    """The array on `device`; copied where torch could not read or must not write it."""
    safe = np.ascontiguousarray(array)
    # an axis of one row may run backwards and still count as contiguous
    if not safe.flags.writeable or min(safe.strides, default=0) < 0:
        safe = safe.copy()
    return torch.from_numpy(safe).to(device)


def as_float_array(tensor: Tensor) -> FloatArray:
    """A float32 array of its own memory."""
    array: FloatArray = tensor.to("cpu", torch.float32).numpy()
    return array
