"""The structured encoder for acting: the same numbers from few, large products.

At batch 1 an encoder's time is the start of many small kernels and convolutions that repack their
weights on every call. Here each convolution is one matrix product over copied windows, layers that
look at the same input share a product, and all that does not depend on the image is computed once:
the conversion of pixels, the coordinate channels, the biases, the positions of cells.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_table.layout import CELL_MASS, FAINT, FOLD, SHARED, SLOT
from parrot_wrapper.priors.encoders.base import ObservationTensors
from parrot_wrapper.priors.encoders.image_encoder import padded, quarter

if TYPE_CHECKING:
    from parrot_table.structured import StructuredEncoder

_HEAT, _POSITION = slice(0, 2), slice(2, 8)
"""Columns of the heads' product; after position, container code and a 1 come those of squeeze."""
_SQUEEZE = 8
_Product: TypeAlias = tuple[Tensor, Tensor]
"""Weight (in, out) and bias (out,): rows @ weight + bias."""


class _Room:
    """Memory that is written anew by every pass; to allocate it each time costs as much as a layer.

    The margins of what is padded stay zero.
    """

    def __init__(
        self,
        batch: int,
        grid: tuple[int, int],
        colours: int,
        channels: int,
        dilations: Iterable[int],
    ) -> None:
        rows, columns = grid
        self.image, self.image_windows = _padded(
            torch.zeros(batch, (rows + 2) * FOLD, (columns + 2) * FOLD, colours, dtype=torch.uint8),
            margin=FOLD, step=FOLD, window=3 * FOLD, dilation=1,
        )  # fmt: skip
        self.pixels = torch.empty(self.image_windows.shape)
        self.hidden = torch.empty(batch * rows * columns, 2 * channels)
        self.padded = {
            dilation: _padded(
                torch.zeros(batch, rows + 2 * dilation, columns + 2 * dilation, channels),
                margin=dilation, step=1, window=3, dilation=dilation,
            )
            for dilation in dilations
        }  # fmt: skip
        self.columns = torch.empty(batch, rows, columns, 3, 3, channels)
        self.trunk = torch.empty(batch * rows * columns, channels)


def _padded(
    whole: Tensor, *, margin: int, step: int, window: int, dilation: int
) -> tuple[Tensor, Tensor]:
    """The inside of a padded grid (B, rows, columns, C), and its windows: views, no copies."""
    inside = whole[:, margin:-margin, margin:-margin]
    one, row, column, channel = whole.stride()
    windows = whole.as_strided(
        (
            len(whole),
            inside.shape[1] // step,
            inside.shape[2] // step,
            window,
            window,
            whole.shape[3],
        ),
        (one, step * row, step * column, dilation * row, dilation * column, channel),
    )
    return inside, windows


class _Rooms(threading.local):
    """Of each thread its own, by batch size."""

    def __init__(self) -> None:
        self.of: dict[int, _Room] = {}


class FoldedStructured:
    """What `StructuredEncoder` computes, without gradients, equal up to float rounding.

    Args:
        encoder: On the CPU, in float32.
    """

    def __init__(self, encoder: StructuredEncoder) -> None:
        height, width, self._colours = encoder.observation.image or (0, 0, 0)
        self._grid = quarter(height), quarter(width)
        self._cells = self._grid[0] * self._grid[1]
        self._slots = encoder.slots
        self._join = encoder.join
        self._rooms = _Rooms()
        self._first, self._constant = self._fold_first(encoder)
        first, *convolutions = (part for part in encoder.trunk if isinstance(part, nn.Conv2d))
        self._channels = first.out_channels
        self._trunk = [(*_product(part), part.dilation[0]) for part in convolutions]
        self._heads, self._heads_constant = _fold_heads(encoder)
        self._code = _product(encoder.appearance[2])
        self._anchors = encoder.sharpness * encoder._anchors.T
        self._centre = encoder._centre
        enter, bias = _product(encoder.gripper[0])
        by_cell = enter.view(_SQUEEZE, self._cells, -1).transpose(0, 1).flatten(0, 1)
        self._gripper = (by_cell.contiguous(), bias), _product(encoder.gripper[2])
        enter, self._token_bias = _product(encoder.token[0])
        self._token_own, self._token_shared = enter[:SLOT], enter[SLOT:]
        self._token = _followed(_product(encoder.token[2]), _product(encoder.score))
        self._pooled = _product(encoder.pooled[0]), _product(encoder.pooled[2])

    def _fold_first(self, encoder: StructuredEncoder) -> tuple[Tensor, Tensor]:
        """Both branches' first layers on pixels 0 to 255, and all they add to what they see."""
        trunk, trunk_bias = _convolution(encoder.trunk[0])
        appearance, appearance_bias = _convolution(encoder.appearance[0])
        colours = FOLD**2 * self._colours
        seeing = torch.cat((trunk[:, :colours], appearance))
        # Beyond the image centred pixels are 0: there is nothing to centre.
        centring = functional.conv2d(
            seeing.new_full((1, colours, *self._grid), -0.5), seeing, padding=1
        )
        places = functional.conv2d(encoder._grid[None].double(), trunk[:, colours:], padding=1)
        constant = centring + torch.cat((trunk_bias, appearance_bias))[:, None, None]
        constant[:, : len(trunk)] += places
        # From (out, colour, y and x in the cell, row, column) to windows of pixels
        pixels = seeing.view(-1, self._colours, FOLD, FOLD, 3, 3).permute(4, 2, 5, 3, 1, 0)
        weight = pixels.reshape(-1, len(seeing)) / 255.0
        return weight.float(), constant[0].flatten(1).T.float().contiguous()

    def __call__(self, obs: ObservationTensors) -> Tensor:
        """Images (B, H, W, C) uint8, and vectors beside them, to features (B, F)."""
        image = obs["image"]
        batch, cells = len(image), self._cells
        room = self._room(batch)
        room.image.copy_(padded(image, FOLD))
        room.pixels.copy_(room.image_windows)
        hidden = torch.mm(room.pixels.view(batch * cells, -1), self._first, out=room.hidden)
        hidden.view(batch, cells, -1).add_(self._constant).relu_()
        code = _apply(hidden[:, self._channels :], self._code)
        trunk = hidden[:, : self._channels]
        for weight, bias, dilation in self._trunk:
            inside, windows = room.padded[dilation]
            inside.copy_(trunk.view(inside.shape))
            room.columns.copy_(windows)
            columns = room.columns.view(batch * cells, -1)
            trunk = torch.addmm(bias, columns, weight, out=room.trunk).relu_()
        maps = (trunk @ self._heads).view(batch, cells, -1).add_(self._heads_constant)
        squeezed = maps[:, :, _POSITION.stop :].reshape(batch, -1)
        enter, leave = self._gripper
        gripper = _apply(functional.silu(_apply(squeezed, enter)), leave)
        return self._join(self._read_slots(maps, code.view(batch, cells, -1), gripper), obs)

    def _room(self, batch: int) -> _Room:
        rooms = self._rooms.of
        if batch not in rooms:
            dilations = {dilation for *_, dilation in self._trunk}
            rooms[batch] = _Room(batch, self._grid, self._colours, self._channels, dilations)
        return rooms[batch]

    def _read_slots(self, maps: Tensor, code: Tensor, gripper: Tensor) -> Tensor:
        heat = maps[:, :, _HEAT].sigmoid()
        near = (functional.normalize(code, dim=2) @ self._anchors).exp_()
        near.mul_(heat[:, :, :1] / near.sum(2, keepdim=True))
        weight = torch.cat((heat[:, :, 1:], near), dim=2)
        sums = weight.transpose(1, 2) @ maps[:, :, _POSITION]
        total = sums[:, :, -1:]
        means = sums[:, :, :-1] / (total + 1e-4)
        mass = (total / CELL_MASS).square_()
        presence = mass / (mass + FAINT)
        relative = means[:, :, :3] - (gripper[:, :3] + self._centre)[:, None]
        slots = torch.cat((presence, relative.mul_(presence)), dim=2)
        container_code = means[:, 0, 3:].tanh()
        return torch.cat((gripper, slots[:, 0], container_code, slots[:, 1:].flatten(1)), dim=1)

    def context(self, features: Tensor) -> Tensor:
        """What the flow is conditioned on, (B, context), from features (B, F)."""
        shared, rest = features[:, :SHARED], features[:, SHARED:]
        objects = rest[:, : SLOT * self._slots].view(-1, self._slots, SLOT)
        hidden = objects @ self._token_own
        hidden += torch.addmm(self._token_bias, shared, self._token_shared)[:, None]
        weight, bias = self._token
        tokens = functional.silu(hidden) @ weight
        tokens += bias
        presence = objects[:, :, :1]
        attention = presence * tokens[:, :, -1:].clamp(-8, 8).exp_()
        attention /= attention.sum(1, keepdim=True) + 1e-3
        # Attended and summed tokens by one product
        pooled = torch.cat((attention, presence), dim=2).transpose(1, 2) @ tokens[:, :, :-1]
        vectors = rest[:, SLOT * self._slots :]
        together = torch.cat((pooled.flatten(1), shared, vectors), dim=1)
        enter, leave = self._pooled
        return _apply(functional.silu(_apply(together, enter)), leave)


def _convolution(layer: nn.Module) -> _Product:
    """Weight (out, in, 3, 3) and bias in double precision."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    return layer.weight.double(), layer.bias.double()


def _product(layer: nn.Module) -> _Product:
    """A layer as a product of rows, for a convolution of windows (row, column, channel)."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    weight, bias = layer.weight, layer.bias
    assert bias is not None
    if weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1).flatten(1)
    return weight.T.contiguous(), bias


def _apply(rows: Tensor, product: _Product) -> Tensor:
    weight, bias = product
    return torch.addmm(bias, rows, weight)


def _followed(first: _Product, second: _Product) -> _Product:
    """One product for the results of the first and, after them, of the second upon the first."""
    (weight, bias), (then, more) = first, second
    composed = (weight.double() @ then.double()).float()
    return torch.cat((weight, composed), dim=1), torch.cat((bias, bias @ then + more))


def _fold_heads(encoder: StructuredEncoder) -> tuple[Tensor, Tensor]:
    """Heads and squeeze as one product (channels, columns), and what is added for each cell.

    Columns: heat (2), position (3) with where the cell is, container code, a constant 1, squeeze.
    """
    (heads, bias), (squeeze, squeeze_bias) = _product(encoder.heads), _product(encoder.squeeze)
    nothing = heads.new_zeros(len(heads), 1)
    added = torch.cat((bias, bias.new_ones(1), squeeze_bias)).repeat(len(encoder._base), 1)
    added[:, _HEAT.stop : _HEAT.stop + 3] += encoder._base
    return torch.cat((heads, nothing, squeeze), dim=1), added
