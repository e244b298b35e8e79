"""Losses that teach a grid of cells where things are and how to tell them apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

_SIGMA = 0.8
"""Standard deviation, in cells, of the blob that marks a centre."""
CELL_MASS = 2.0 * torch.pi * _SIGMA**2
"""Sum of such a blob over the grid."""
_TEMPERATURE = 0.1
_POSITION_WEIGHT = 4.0
_HEAT_WEIGHT = 0.05
_CODE_WEIGHT = 1.0
_GRIPPER_WEIGHT = 4.0


def keypoint_losses(
    maps: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    *,
    image_size: tuple[int, int],
    length: float,
) -> dict[str, Tensor]:
    """Weighted scalar losses `heat`, `position`, `gripper` and `code`.

    Args:
        maps: `heat` (B, h, w, 2) logits, `position` (B, h, w, 3), `code` (B, h, w, 3) and
            `gripper` (B, 5).
        labels: `landmarks` (B, N, 3) m, `landmark_pixels` (B, N, 2), `landmark_kinds` (B, N) and
            `gripper` (B, 5), as `OffersLabels` describes them. Entries 2i and 2i + 1 are of one
            episode.
        image_size: Height and width of the image in pixels.
        length: Metres that a position of 1 stands for.
    """
    blobs = _blobs(labels["landmark_pixels"], maps["heat"].shape[1:3], image_size)
    kinds = labels["landmark_kinds"]
    target = torch.stack([_merged(blobs, kinds == kind) for kind in (0, 1)], dim=3)
    heat = functional.binary_cross_entropy_with_logits(maps["heat"], target, reduction="none")
    positions = labels["landmarks"] / length
    weight = blobs / CELL_MASS
    distance = _blob_distance(weight, maps["position"], positions)
    gripper = torch.cat((labels["gripper"][:, :3] / length, labels["gripper"][:, 3:]), dim=1)
    return {
        "heat": _HEAT_WEIGHT * heat.sum((1, 2, 3)).mean(),
        "position": _POSITION_WEIGHT * distance.mean(),
        "gripper": _GRIPPER_WEIGHT * (maps["gripper"] - gripper).abs().mean(),
        "code": _CODE_WEIGHT * _code_loss(maps["code"], weight, kinds),
    }


def _blobs(pixels: Tensor, cells: torch.Size, image_size: tuple[int, int]) -> Tensor:
    """A Gaussian blob (B, N, h, w) of height 1 around each pixel position (B, N, 2)."""
    rows, columns = cells
    scale = pixels.new_tensor([columns / image_size[1], rows / image_size[0]])
    centre = (pixels + 0.5) * scale - 0.5
    x = torch.arange(columns, device=pixels.device, dtype=pixels.dtype)
    y = torch.arange(rows, device=pixels.device, dtype=pixels.dtype)
    across = (-0.5 * ((x - centre[:, :, :1]) / _SIGMA) ** 2).exp()
    down = (-0.5 * ((y - centre[:, :, 1:]) / _SIGMA) ** 2).exp()
    return down[:, :, :, None] * across[:, :, None, :]


def _merged(blobs: Tensor, chosen: Tensor) -> Tensor:
    return (blobs * chosen[:, :, None, None]).amax(1)


def _blob_distance(weight: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """Root mean squared distance (B, N) of a blob's predictions (B, h, w, 3) to (B, N, 3)."""
    moments = torch.cat((predicted, predicted.square().sum(3, keepdim=True)), dim=3)
    mean = weight.flatten(2) @ moments.flatten(1, 2)
    total = weight.sum((2, 3))
    cross = (mean[:, :, :3] * true).sum(2)
    squared = mean[:, :, 3] - 2.0 * cross + total * true.square().sum(2)
    return (squared.clamp_min(0.0) + 1e-4).sqrt()


def _code_loss(code: Tensor, weight: Tensor, kinds: Tensor) -> Tensor:
    """Contrastive: an object looks the same at two times, and unlike all other objects."""
    unit = functional.normalize(code, dim=3)
    codes = weight.flatten(2) @ unit.flatten(1, 2)
    movable = (kinds[0::2] == 0).flatten()
    # Not normalised again: cells of one object that disagree make its code short, which costs.
    first, second = codes[0::2].flatten(0, 1)[movable], codes[1::2].flatten(0, 1)[movable]
    similarity = first @ second.T / _TEMPERATURE
    same = torch.arange(len(first), device=code.device)
    both = functional.cross_entropy(similarity, same) + functional.cross_entropy(similarity.T, same)
    return 0.5 * both
