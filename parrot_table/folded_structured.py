"""The structured encoder for acting: the same numbers from few, large products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_table.layout import CELL_MASS, FAINT, FOLD, SHARED
from parrot_wrapper.priors.encoders.base import ObservationTensors
from parrot_wrapper.priors.encoders.image_encoder import require_image
from parrot_wrapper.priors.encoders.products import (
    Cells,
    Convolution,
    PooledSlots,
    apply,
    product,
    with_one,
)

if TYPE_CHECKING:
    from parrot_table.structured import StructuredEncoder

_HEAT, _POSITION = slice(0, 2), slice(2, 8)
"""Columns of the heads' product; after position, container code and a 1 come those of squeeze."""


class FoldedStructured:
    """What `StructuredEncoder` computes, without gradients, equal up to float rounding.

    Args:
        encoder: On the CPU, in float32.
    """

    def __init__(self, encoder: StructuredEncoder) -> None:
        self._join, self._centre = encoder.join, encoder._centre
        self._cells = Cells(require_image(encoder.name, encoder.observation), FOLD)
        self._appearance = Convolution(self._cells, encoder.appearance[0], pixels=True)
        self._code = product(encoder.appearance[2])
        self._anchors = encoder.sharpness * encoder._anchors.T
        first, *between, last = (part for part in encoder.trunk if isinstance(part, nn.Conv2d))
        self._trunk = [
            Convolution(self._cells, first, pixels=True, maps=encoder._grid),
            *(Convolution(self._cells, part) for part in between),
            Convolution(self._cells, last, beside=with_one(encoder._base)),
        ]
        self._heads = _fold_heads(encoder)
        enter, bias = product(encoder.gripper[0])
        by_cell = enter.view(-1, self._cells.count, len(bias)).transpose(0, 1).flatten(0, 1)
        self._gripper = (by_cell.contiguous(), bias), product(encoder.gripper[2])
        self.context = PooledSlots(
            encoder.token, encoder.score, encoder.pooled, SHARED, encoder.slots
        )

    def __call__(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        image = obs["image"]
        shape = len(image), self._cells.count, -1
        rows = self._cells(image)
        code = apply(self._appearance(rows)[:-1], self._code).view(shape)
        for layer in self._trunk:
            rows = layer(rows)
        maps = (rows[:-1] @ self._heads).view(shape)
        squeezed = maps[:, :, _POSITION.stop :].reshape(len(image), -1)
        enter, leave = self._gripper
        gripper = apply(functional.silu(apply(squeezed, enter)), leave)
        return self._join(self._read_slots(maps, code, gripper), obs)

    def _read_slots(self, maps: Tensor, code: Tensor, gripper: Tensor) -> Tensor:
        heat = maps[:, :, _HEAT].sigmoid()
        near = (functional.normalize(code, dim=2) @ self._anchors).exp_()
        near.mul_(heat[:, :, :1] / near.sum(2, keepdim=True))
        weight = torch.cat((heat[:, :, 1:], near), dim=2)
        half = CELL_MASS * math.sqrt(FAINT)
        means, presence = _means_and_presence(weight, maps[:, :, _POSITION], half)
        relative = means[:, :, :3] - (gripper[:, :3] + self._centre)[:, None]
        slots = torch.cat((presence, relative.mul_(presence)), dim=2)
        container_code = means[:, 0, 3:].tanh()
        return torch.cat((gripper, slots[:, 0], container_code, slots[:, 1:].flatten(1)), dim=1)


def _fold_heads(encoder: StructuredEncoder) -> Tensor:
    """Heads and squeeze as one product of the trunk's results, where the cell is (3) and a 1.

    Columns: heat (2), position (3) with where the cell is, container code, a constant 1, squeeze.
    """
    (heads, bias), (squeeze, squeeze_bias) = product(encoder.heads), product(encoder.squeeze)
    seen = torch.cat((heads, heads.new_zeros(len(heads), 1), squeeze), dim=1)
    places = torch.eye(3, seen.shape[1]).roll(_POSITION.start, dims=1)
    return torch.cat((seen, places, torch.cat((bias, bias.new_ones(1), squeeze_bias))[None]))


def _means_and_presence(weight: Tensor, values: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Weighted means (B, S, K) of values over cells, and how present each is (B, S, 1) in [0, 1].

    Args:
        weight: (B, N, S), not negative.
        values: (B, N, K + 1), the last a constant 1.
        half: Sum of weights that is half present.
    """
    sums = weight.transpose(1, 2) @ values
    total = sums[:, :, -1:]
    mass = total.square()
    return sums[:, :, :-1] / (total + 1e-4), mass / (mass + half**2)
