"""What forms of convolutional encoders for acting share: layers as few, large products.

At batch 1 an encoder's time is the start of many small kernels and convolutions that repack their
weights on every call. Here each convolution is one matrix product over gathered windows, memory is
used again, and all that does not depend on the image is computed once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from parrot_wrapper.priors.encoders.image_encoder import padded

Product: TypeAlias = tuple[Tensor, Tensor]
"""Weight (in, out) and bias (out,): rows @ weight + bias."""
_Kept = TypeVar("_Kept")


class _Rooms(threading.local, Generic[_Kept]):
    """Of each thread its own memory by size; to allocate it each time costs as much as a layer."""

    def __init__(self, make: Callable[..., _Kept]) -> None:
        self._make = make
        self._of: dict[tuple[int, ...], _Kept] = {}

    def __call__(self, *sizes: int) -> _Kept:
        if sizes not in self._of:
            self._of[sizes] = self._make(*sizes)
        return self._of[sizes]


class Cells:
    """Images as rows of pixels from 0 to 255, one for each of N cells of `fold` pixels a side.

    Rows of a batch are (B * N + 1, channels); the last is zero, as all is beyond the image.

    Args:
        image: Shape (H, W, C).
        fold: Pixels a side of a cell.
    """

    def __init__(self, image: tuple[int, int, int], fold: int) -> None:
        self.fold, self.colours = fold, image[2]
        self.grid = -(-image[0] // fold), -(-image[1] // fold)
        self.count = self.grid[0] * self.grid[1]
        self.columns = _Rooms(torch.empty)
        self._rooms = _Rooms(self._room)

    def __call__(self, image: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to rows whose channels are (y, x, colour)."""
        whole, by_cell, rows, inside = self._rooms(len(image))
        whole.copy_(padded(image, self.fold))
        inside.copy_(by_cell)
        return rows

    def _room(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (high, wide), fold = self.grid, self.fold
        whole = torch.empty(batch, high * fold, wide * fold, self.colours)
        by_cell = whole.view(batch, high, fold, wide, fold, -1).transpose(2, 3)
        rows = torch.zeros(batch * self.count + 1, fold**2 * self.colours)
        return whole, by_cell, rows, rows[:-1].view(by_cell.shape)

    def windows(self, dilation: int, repeated: bool) -> Tensor:
        """Which cells the nine taps of each cell see (N, 9); those beyond the image are N."""
        high, wide = self.grid
        taps = dilation * (torch.arange(3) - 1)
        y = (torch.arange(high)[:, None] + taps)[:, None, :, None]
        x = (torch.arange(wide)[:, None] + taps)[None, :, None, :]
        index = y.clamp(0, high - 1) * wide + x.clamp(0, wide - 1)
        if not repeated:
            index[((y < 0) | (y >= high) | (x < 0) | (x >= wide)).expand_as(index)] = self.count
        return index.view(self.count, 9)


class Convolution:
    """A 3x3 convolution from rows of `Cells` to such rows, with its ReLU.

    Args:
        cells: Of the image.
        layer: Its weights, and its dilation.
        pixels: Whether it sees pixels, which the layer takes from -0.5 to 0.5, folded by
            `pixel_unshuffle`.
        maps: Constant (M, rows, columns) that the layer sees after its other channels.
        repeated: Whether the edges are repeated beyond the image, which is else 0.
        beside: Constant (N, K) that follow the results of each cell.
    """

    def __init__(
        self,
        cells: Cells,
        layer: nn.Module,
        *,
        pixels: bool = False,
        maps: Tensor | None = None,
        repeated: bool = False,
        beside: Tensor | None = None,
    ) -> None:
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        weight, dilation = layer.weight.double(), layer.dilation[0]
        self._cells, self._width = cells, layer.out_channels
        constant = weight.new_zeros(layer.in_channels, *cells.grid)
        seen = layer.in_channels - (0 if maps is None else len(maps))
        if maps is not None:
            constant[seen:] = maps
        seeing = weight[:, :seen]
        if pixels:
            constant[:seen] = -0.5
            folded = seeing.view(-1, cells.colours, cells.fold, cells.fold, 3, 3)
            seeing = folded.permute(0, 2, 3, 1, 4, 5).flatten(1, 3) / 255.0
        edged = functional.pad(
            constant[None], (dilation,) * 4, mode="replicate" if repeated else "constant"
        )
        added = functional.conv2d(edged, weight, layer.bias.double(), dilation=dilation)
        self._added = added[0].flatten(1).T.float()
        self._weight = seeing.permute(2, 3, 1, 0).flatten(0, 2).float().contiguous()
        self._beside = added.new_zeros(cells.count, 0) if beside is None else beside
        self._windows = cells.windows(dilation, repeated)
        self._rooms = _Rooms(self._room)

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (B * N + 1, in) to rows (B * N + 1, out + K)."""
        index, added, made, inside = self._rooms((len(rows) - 1) // self._cells.count)
        columns = self._cells.columns(len(index), rows.shape[1])
        torch.index_select(rows, 0, index, out=columns)
        torch.addmm(added, columns.view(len(added), -1), self._weight, out=inside).relu_()
        return made

    def _room(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = self._cells.count
        first = count * torch.arange(batch)[:, None, None]
        beyond = self._windows == count
        index = (self._windows + first).masked_fill(beyond, batch * count).flatten()
        made = torch.zeros(batch * count + 1, self._width + self._beside.shape[1])
        made[:-1, self._width :] = self._beside.repeat(batch, 1)
        return index, self._added.repeat(batch, 1), made, made[:-1, : self._width]


class PooledSlots:
    """What a flow is conditioned on, of features that are shared ones, slots and vectors.

    Args:
        token: Layers from a slot and the shared features to a token.
        score: From a token to how much it is attended to.
        pooled: Layers from attended and summed tokens, shared features and vectors.
        shared: Features before the slots.
        slots: How many there are.
        kind: As in `pool_slots`.
    """

    def __init__(
        self,
        token: nn.Sequential,
        score: nn.Linear,
        pooled: nn.Sequential,
        shared: int,
        slots: int,
        kind: Tensor | None = None,
    ) -> None:
        enter, self._bias = product(token[0])
        self._kind = None if kind is None else kind.repeat_interleave(slots // len(kind), dim=0)
        self._length = len(enter) - shared
        self._own, self._shared = enter[: self._length], enter[self._length :]
        self._token = _followed(product(token[2]), product(score))
        self._pooled = product(pooled[0]), product(pooled[2])
        self._slots = slots

    def __call__(self, features: Tensor) -> Tensor:
        """Features (B, F) to (B, context)."""
        sizes = (len(self._shared), self._slots * self._length)
        shared, slots, vectors = features.tensor_split((sizes[0], sum(sizes)), dim=1)
        slots = slots.view(-1, self._slots, self._length)
        hidden = slots @ self._own
        hidden += torch.addmm(self._bias, shared, self._shared)[:, None]
        if self._kind is not None:
            hidden += self._kind
        weight, bias = self._token
        tokens = functional.silu(hidden) @ weight
        tokens += bias
        presence = slots[:, :, :1]
        attention = presence * tokens[:, :, -1:].clamp(-8, 8).exp_()
        attention /= attention.sum(1, keepdim=True) + 1e-3
        # Attended and summed tokens by one product
        pooled = torch.cat((attention, presence), dim=2).transpose(1, 2) @ tokens[:, :, :-1]
        together = torch.cat((pooled.flatten(1), shared, vectors), dim=1)
        enter, leave = self._pooled
        return apply(functional.silu(apply(together, enter)), leave)


def with_one(values: Tensor) -> Tensor:
    """Values (N, K) and a constant 1 after them, by which a product adds biases and sums."""
    return torch.cat((values, torch.ones_like(values[:, :1])), dim=1)


def product(layer: nn.Module) -> Product:
    """A linear layer or a convolution of 1x1 as a product of rows."""
    assert isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None
    return layer.weight.flatten(1).T.contiguous(), layer.bias


def apply(rows: Tensor, product: Product) -> Tensor:
    """Rows (R, in) to (R, out)."""
    weight, bias = product
    return torch.addmm(bias, rows, weight)


def _followed(first: Product, second: Product) -> Product:
    """One product for the results of the first and, after them, of the second upon the first."""
    (weight, bias), (then, more) = first, second
    composed = (weight.double() @ then.double()).float()
    return torch.cat((weight, composed), dim=1), torch.cat((bias, bias @ then + more))
