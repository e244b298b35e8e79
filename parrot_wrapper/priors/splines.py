"""Rational-quadratic splines: monotone maps of one number, with a closed-form inverse."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from parrot_wrapper.types import AnyArray

_LEAST = math.log(1e-3)
"""Bins and slopes stay within factors of about exp of this, smoothly."""


class _Bin(NamedTuple):
    """The bin that each number lies in: left edges, width, height, slopes at both ends."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor


def rational_quadratic(
    values: Tensor, raw: Tensor, *, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Map numbers by monotone splines on [-bound, bound], the identity outside.

    Durkan et al. (2019), equations 4 to 8; parametrised as in zuko, with slopes of 1 at the ends.

    Args:
        values: (...), to be mapped.
        raw: (..., 3 K - 1), unconstrained: K widths, K heights, K - 1 inner slopes. Zeros make the
            identity.
        bound: Half-width of the square that the spline runs through.
        inverse: Map back.

    Returns:
        The mapped numbers (...), and the logarithm of the derivative at each.

    Example:
        >>> x, raw = torch.linspace(-3, 3, 5), torch.linspace(-1, 1, 40).view(5, 8)
        >>> y, log_slope = rational_quadratic(x, raw, bound=2.0)
        >>> torch.allclose(rational_quadratic(y, raw, bound=2.0, inverse=True)[0], x, atol=1e-5)
        True
    """
    bins = (raw.shape[-1] + 1) // 3
    across, up = _knots(raw[..., :bins], bound), _knots(raw[..., bins : 2 * bins], bound)
    inner = raw[..., 2 * bins :]
    slopes = functional.pad(inner / (1.0 + (inner / _LEAST).abs()), (1, 1)).exp()
    inside = values.abs() < bound
    within = torch.where(inside, values, torch.zeros_like(values))
    index = torch.searchsorted((up if inverse else across).detach(), within[..., None]) - 1
    at = _bin(across, up, slopes, index.clamp(0, bins - 1))
    mapped, log_slope = (_backward if inverse else _forward)(within, at)
    return (
        torch.where(inside, mapped, values),
        torch.where(inside, log_slope, torch.zeros_like(log_slope)),
    )


def _knots(raw: Tensor, bound: float) -> Tensor:
    """Edges (..., K + 1) of bins, from -bound to bound."""
    shares = torch.softmax(raw / (1.0 + (2.0 * raw / _LEAST).abs()), dim=-1)
    return bound * (2.0 * functional.pad(shares.cumsum(dim=-1), (1, 0)) - 1.0)


def _bin(across: Tensor, up: Tensor, slopes: Tensor, index: Tensor) -> _Bin:
    ends = [part.gather(-1, index + k)[..., 0] for part in (across, up, slopes) for k in (0, 1)]
    x, next_x, y, next_y, slope, next_slope = ends
    return _Bin(x, y, next_x - x, next_y - y, slope, next_slope)


def _forward(x: Tensor, at: _Bin) -> tuple[Tensor, Tensor]:
    share = (x - at.x) / at.width
    mean = at.height / at.width
    both = share * (1.0 - share)
    below = mean + (at.slope + at.next_slope - 2.0 * mean) * both
    y = at.y + at.height * (mean * share.square() + at.slope * both) / below
    return y, _log_slope(share, mean, at, below)


def _backward(y: Tensor, at: _Bin) -> tuple[Tensor, Tensor]:
    mean = at.height / at.width
    excess = at.slope + at.next_slope - 2.0 * mean
    risen = y - at.y
    a = at.height * (mean - at.slope) + risen * excess
    b = at.height * at.slope - risen * excess
    c = -mean * risen
    # the root that does not cancel; rounding may put the discriminant just below zero
    share = 2.0 * c / (-b - (b.square() - 4.0 * a * c).clamp(min=0.0).sqrt())
    below = mean + excess * share * (1.0 - share)
    return share * at.width + at.x, -_log_slope(share, mean, at, below)


def _log_slope(share: Tensor, mean: Tensor, at: _Bin, below: Tensor) -> Tensor:
    left = 1.0 - share
    above = at.next_slope * share.square() + 2.0 * mean * share * left + at.slope * left.square()
    return 2.0 * mean.log() + above.log() - 2.0 * below.log()


def spline_inverse(values: AnyArray, raw: AnyArray, *, bound: float) -> AnyArray:
    """`rational_quadratic` with `inverse`, in NumPy: a quarter of its time for a single action.

    Args:
        values: (B, M), to be mapped back.
        raw: (B, M, 3 K - 1), unconstrained.
        bound: Half-width of the square that the spline runs through.

    Returns:
        (B, M).
    """
    bins = (raw.shape[-1] + 1) // 3
    y, raw = values.ravel().clip(-bound, bound), raw.reshape(-1, raw.shape[-1])
    rows = np.arange(len(y))
    shares = raw[:, : 2 * bins].reshape(-1, 2, bins)
    knots = np.zeros((len(y), 2, bins + 1), raw.dtype)  # across, and up
    np.cumsum(np.exp(shares / (1.0 + np.abs(shares * (2.0 / _LEAST)))), axis=-1, out=knots[..., 1:])
    knots *= 2.0 * bound / knots[..., -1:]
    knots -= bound
    index = (knots[:, 1, 1:-1] < y[:, None]).sum(axis=1)
    start = knots[rows, :, index]
    width, height = (knots[rows, :, index + 1] - start).T
    inner = np.zeros((len(y), bins + 1), raw.dtype)
    inner[:, 1:-1] = raw[:, 2 * bins :]
    ends = np.stack((inner[rows, index], inner[rows, index + 1]))
    slope, next_slope = np.exp(ends / (1.0 + np.abs(ends / _LEAST)))
    mean, risen = height / width, y - start[:, 1]
    excess = risen * (slope + next_slope - 2.0 * mean)
    a, b, c = height * (mean - slope) + excess, height * slope - excess, mean * risen
    share = 2.0 * c / (b + np.sqrt(np.maximum(b * b + 4.0 * a * c, 0.0)))
    x = (share * width + start[:, 0]).reshape(values.shape)
    return np.where(np.abs(values) < bound, x, values)
