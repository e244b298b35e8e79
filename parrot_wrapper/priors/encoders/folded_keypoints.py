"""The keypoint encoder for acting: the same numbers from few, large products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.priors.encoders.base import ObservationTensors
from parrot_wrapper.priors.encoders.image_encoder import require_image
from parrot_wrapper.priors.encoders.products import (
    Cells,
    Convolution,
    PooledSlots,
    Product,
    apply,
    product,
    with_one,
)
from parrot_wrapper.priors.encoders.teachers import PLACE, certain, each

if TYPE_CHECKING:
    from parrot_wrapper.priors.encoders.keypoints import KeypointEncoder

_PLACE = slice(0, PLACE + 1)
"""Columns of the heads' product: place and a 1; attention follows, then what is squeezed."""
_LEAST = 1e-12
"""Length of a code by which none is divided, as `torch.nn.functional.normalize` has it."""


class FoldedKeypoints:
    """What `KeypointEncoder` computes, without gradients, equal up to float rounding.

    Args:
        encoder: On the CPU, in float32.
    """

    def __init__(self, encoder: KeypointEncoder) -> None:
        self._join, self._thing_kinds = encoder.join, encoder.cues.thing_kinds
        self._half, kinds = encoder.half_present, encoder.cues.kinds
        self._split = kinds, kinds + encoder._anchors.shape[1]
        self._cells = Cells(require_image(encoder.name, encoder.observation), encoder.fold)
        self._stem = Convolution(self._cells, encoder.stem, pixels=True, repeated=True)
        self._appearance = Convolution(self._cells, encoder.appearance[0], repeated=True)
        self._local = _fold_local(encoder)
        first, *between, last = (part for part in encoder.trunk if isinstance(part, nn.Conv2d))
        self._trunk = [
            Convolution(self._cells, first, maps=encoder._grid),
            *(Convolution(self._cells, part) for part in between),
            Convolution(self._cells, last, beside=with_one(encoder.places_of_cells())),
        ]
        self._heads, self._enter, self._squeezed, self._leave = _fold_heads(encoder)
        (enter, hidden), self._meant = product(encoder.meant[0]), product(encoder.meant[2])
        self._near = functional.pad(enter[:PLACE], (0, 0, 0, 1))  # for the 1 after a place
        self._hand = torch.cat((-enter[:PLACE], enter[PLACE:])), hidden
        self.context = PooledSlots(
            encoder.token,
            encoder.score,
            encoder.pooled,
            encoder.shared,
            encoder.slots,
            encoder.kind,
        )

    def __call__(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        image = obs["image"]
        shape = len(image), self._cells.count, -1
        rows = self._stem(self._cells(image))
        local = apply(self._appearance(rows)[:-1], self._local).view(shape)
        for layer in self._trunk:
            rows = layer(rows)
        heads = (rows[:-1] @ self._heads).view(shape)
        attention = heads[:, :, _PLACE.stop].softmax(1)[:, None]
        at_hand = torch.bmm(attention, rows[:-1].view(shape))[:, 0] @ self._enter
        squeezed = heads[:, :, _PLACE.stop + 1 :].flatten(1) @ self._squeezed
        hidden = functional.silu(squeezed.add_(at_hand[:, : len(self._leave)]))
        hand = torch.addmm(at_hand[:, len(self._leave) :], hidden, self._leave)
        heat, code, near = local.tensor_split(self._split, dim=2)
        heat = heat.sigmoid()
        near = (
            near / torch.linalg.vector_norm(code, dim=2, keepdim=True).clamp_min_(_LEAST)
        ).exp_()
        near /= near.sum(2, keepdim=True)
        told = heat[:, :, : self._thing_kinds]
        place = heads[:, :, _PLACE]
        hidden = place @ self._near + apply(hand, self._hand)[:, None]
        meant = (functional.silu(hidden) @ self._meant[0] + self._meant[1]).sigmoid_()
        of_kind = torch.cat((meant.mul_(heat), heat), dim=2)
        weight = torch.cat((of_kind.square(), each(told.square(), near)), dim=2)
        sums = weight.transpose(1, 2) @ place
        mean = sums[:, :, :PLACE] / (sums[:, :, PLACE:] + 1e-4)
        sure = torch.cat((certain(of_kind), each(certain(told), near)), dim=2)
        mass = sure.sum(1)[:, :, None].square()
        presence = mass / (mass + self._half**2)
        relative = mean.sub_(hand[:, None, :PLACE]).mul_(presence)
        slots = torch.cat((presence, relative), dim=2)
        return self._join(torch.cat((hand, slots.flatten(1)), dim=1), obs)


def _fold_local(encoder: KeypointEncoder) -> Product:
    """To heat, code and, after them, what anchors say of a code as if its length were 1."""
    weight, bias = product(encoder.appearance[2])
    whole = torch.cat((weight, bias[None]))
    near = whole[:, encoder.cues.kinds :] @ (encoder.sharpness * encoder._anchors.T)
    folded = torch.cat((whole, near), dim=1)
    return folded[:-1], folded[-1]


def _fold_heads(encoder: KeypointEncoder) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Products of the trunk's results, the place of the cell and a 1, and of what these make.

    To the place of a thing, 1, attention and what is squeezed for each cell; of what is attended
    to the hidden layer of the hand, and to all that is added to what the last product, upon that
    layer, says of the hand; of what is squeezed to that layer; and the last product.
    """
    weight, bias = product(encoder.heads)
    channels = len(weight)
    whole = torch.cat((weight, weight.new_zeros(2 * PLACE, weight.shape[1]), bias[None]))
    thing, here, tip, squeezed = whole.tensor_split((PLACE, PLACE + 1, 2 * PLACE + 1), dim=1)
    place, over = torch.eye(len(whole))[:, channels:-1].chunk(2, dim=1)
    one = torch.eye(len(whole))[:, -1:]
    heads = torch.cat((thing + over, one, encoder.quick * here, squeezed), dim=1)
    (enter, hidden), others = product(encoder.hand[0]), encoder._hand - PLACE
    leave, added = (
        functional.pad(part[..., :others], (PLACE, 0)) for part in product(encoder.hand[2])
    )
    enter, of_squeezed = enter.tensor_split((channels,))
    hand = one * added
    hand[:, :PLACE] += tip + place
    hidden_part = torch.cat((enter, enter.new_zeros(2 * PLACE, enter.shape[1]), hidden[None]))
    return heads, torch.cat((hidden_part, hand), dim=1), of_squeezed, leave
