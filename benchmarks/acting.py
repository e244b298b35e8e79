"""What makes one decision of the prior quicker, and what does not.

    python benchmarks/acting.py

Batch 1, one core, one torch thread, CPU time. Each row compares two ways to compute the same, in
turns: median times, the median of their ratios, and the largest difference of their results. What
is marked as kept is how a frozen prior acts.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from parrot_table.folded_structured import FoldedStructured
from parrot_table.structured import StructuredEncoder
from parrot_wrapper.evaluation.report import markdown_table
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.folded_couplings import FoldedCouplings
from parrot_wrapper.priors.loading import load_prior

_TILE = torch.tensor(
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=torch.float64
)
_KERNEL = torch.tensor(
    [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64
)
_OUT = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=torch.float64)


class Comparison(NamedTuple):
    """Two ways to compute the same."""

    name: str
    before: Callable[[], Tensor]
    after: Callable[[], Tensor]


class Winograd:
    """A convolution of 3x3 as F(2x2, 3x3) of Lavin and Gray (2016): 16 products in place of 36."""

    def __init__(self, layer: nn.Conv2d, side: int) -> None:
        self.channels, tiles = layer.in_channels, side // 2
        weight = torch.einsum("ik,ockl,jl->ijco", _KERNEL, layer.weight.double(), _KERNEL)
        self.weight = weight.reshape(16, layer.in_channels, -1).float().contiguous()
        self.enter = torch.kron(_TILE, _TILE).float()
        self.leave = torch.kron(_OUT, _OUT).float()
        self.bias = layer.bias
        padded = torch.zeros(side + 2, side + 2, layer.in_channels)
        row, column, _ = padded.stride()
        self.inside = padded[1:-1, 1:-1]
        self.windows = padded.as_strided(
            (4, 4, tiles, tiles, layer.in_channels), (row, column, 2 * row, 2 * column, 1)
        )
        self.tiles = torch.empty(self.windows.shape)
        self.out = torch.empty(side, side, layer.out_channels)
        self.places = self.out.view(tiles, 2, tiles, 2, -1).permute(1, 3, 0, 2, 4)

    def __call__(self, values: Tensor) -> Tensor:
        """(side, side, channels) to the same, after a ReLU."""
        self.inside.copy_(values)
        self.tiles.copy_(self.windows)
        seen = (self.enter @ self.tiles.view(16, -1)).view(16, -1, self.channels)
        made = self.leave @ torch.bmm(seen, self.weight).view(16, -1)
        self.places.copy_(made.view(self.places.shape))
        return self.out.add_(cast("Tensor", self.bias)).relu_()


class Columns:
    """The same as one product over copied windows, as the folded encoder has it."""

    def __init__(self, layer: nn.Conv2d, side: int) -> None:
        self.weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
        self.bias, self.side = cast("Tensor", layer.bias), side
        padded = torch.zeros(side + 2, side + 2, layer.in_channels)
        row, column, _ = padded.stride()
        self.inside = padded[1:-1, 1:-1]
        self.windows = padded.as_strided(
            (side, side, 3, 3, layer.in_channels), (row, column, row, column, 1)
        )
        self.columns = torch.empty(self.windows.shape)

    def __call__(self, values: Tensor) -> Tensor:
        """(side, side, channels) to the same, after a ReLU."""
        self.inside.copy_(values)
        self.columns.copy_(self.windows)
        made = torch.addmm(self.bias, self.columns.view(self.side**2, -1), self.weight).relu_()
        return made.view(self.side, self.side, -1)


def prepacked(layer: nn.Conv2d, shape: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """A convolution and ReLU of oneDNN, whose weights are repacked once (private to PyTorch)."""
    sizes = [list(sizes) for sizes in (layer.padding, layer.stride, layer.dilation)]
    weight = torch.ops.mkldnn._reorder_convolution_weight(
        layer.weight.contiguous(), *sizes, 1, list(shape)
    )
    run = torch.ops.mkldnn._convolution_pointwise

    def convolve(values: Tensor) -> Tensor:
        made: Tensor = run(values, weight, layer.bias, *sizes, 1, "relu", [], "")
        return made

    return convolve


def layer_rows(encoder: StructuredEncoder) -> list[Comparison]:
    """Ways to run one convolution of the trunk with its ReLU."""
    plain, dilated = (cast("nn.Conv2d", encoder.trunk[index]) for index in (2, 4))
    side = (encoder.observation.image or (0,))[0] // 4
    values = torch.randn(1, plain.in_channels, side, side)
    values = values.contiguous(memory_format=torch.channels_last)
    rows = values[0].permute(1, 2, 0)
    columns, winograd = Columns(plain, side), Winograd(plain, side)
    packed, packed_dilated = prepacked(plain, values.shape), prepacked(dilated, values.shape)

    def module() -> Tensor:
        return plain(values).relu_()[0].permute(1, 2, 0)

    return [
        Comparison("a convolution as one product (kept)", module, lambda: columns(rows)),
        Comparison("oneDNN, repacked once", module, lambda: packed(values)[0].permute(1, 2, 0)),
        Comparison(
            "oneDNN, repacked once, dilated",
            lambda: dilated(values).relu_(),
            lambda: packed_dilated(values),
        ),
        Comparison("Winograd beside one product", lambda: columns(rows), lambda: winograd(rows)),
    ]


def encoder_rows(encoder: StructuredEncoder, image: Tensor, compiling: bool) -> list[Comparison]:
    """Ways to run the whole encoder."""
    folded = FoldedStructured(encoder)
    last = copy.deepcopy(encoder).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    traced = torch.jit.trace(lambda image: encoder({"image": image}), (image,))

    def modules() -> Tensor:
        return cast("Tensor", encoder({"image": image}))

    def with_gradients_off() -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return modules()

    features = modules()
    rows = [
        Comparison("inference mode, not no_grad (kept)", with_gradients_off, modules),
        Comparison("weights channels last", modules, lambda: last({"image": image})),
        Comparison("traced", modules, lambda: cast("Tensor", traced(image))),
        Comparison("features folded (kept)", modules, lambda: folded({"image": image})),
        Comparison(
            "context folded (kept)",
            lambda: encoder.context(features),
            lambda: folded.context(features),
        ),
    ]
    if compiling:
        compiled = torch.compile(lambda image: encoder({"image": image}))
        rows.append(Comparison("features compiled", modules, lambda: compiled(image)))
        with torch.inference_mode(False), torch.no_grad():
            exported = torch.export.export(encoder, ({"image": image.clone()},)).module()
        rows.append(Comparison("features exported", modules, lambda: exported({"image": image})))
        rows.append(
            Comparison(
                "compiled beside folded", lambda: folded({"image": image}), lambda: compiled(image)
            )
        )
    return rows


def flow_rows(prior: FlowPrior, context: Tensor, compiling: bool) -> list[Comparison]:
    """Ways to run the coupling layers."""
    z = torch.randn(1, prior.latent_dim)
    folded = FoldedCouplings(prior.flow)

    def modules() -> Tensor:
        return prior.flow.decode(z, context)

    rows = [Comparison("flow folded (kept)", modules, lambda: folded.decode(z, context))]
    if compiling:
        compiled = torch.compile(prior.flow.decode)
        rows.append(Comparison("flow compiled", modules, lambda: compiled(z, context)))
    return rows


def cpu_us(function: Callable[[], Any], calls: int = 5) -> float:
    """CPU microseconds of one call."""
    started = time.thread_time()
    for _ in range(calls):
        function()
    return 1e6 * (time.thread_time() - started) / calls


def compare(row: Comparison, rounds: int) -> list[str]:
    """A row of the table."""
    first, second = row.before().clone(), row.after()
    difference = float((first - second).abs().max())
    pairs = [(cpu_us(row.before), cpu_us(row.after)) for _ in range(rounds)]
    before, after = np.median(pairs, axis=0)
    ratio = float(np.median([ours / theirs for theirs, ours in pairs]))
    return [row.name, f"{before:.0f}", f"{after:.0f}", f"{ratio:.2f}", f"{difference:.0e}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prior", default="parrot-v0", help="packaged name or folder")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile and export too: minutes"
    )
    args = parser.parse_args(argv)
    prior = load_prior(args.prior)
    if not isinstance(prior, FlowPrior) or not isinstance(prior.encoder, StructuredEncoder):
        parser.error("expected a flow prior with the structured encoder")
    image = torch.randint(0, 256, (1, *(prior.observation_spec.image or ())), dtype=torch.uint8)
    with torch.inference_mode():
        context = prior.encoder.context(prior.encoder({"image": image}))
        rows = [
            *layer_rows(prior.encoder),
            *encoder_rows(prior.encoder, image, args.compile),
            *flow_rows(prior, context, args.compile),
        ]
        cells = [compare(row, args.rounds) for row in rows]
    columns = ["change", "before us", "after us", "ratio", "largest difference"]
    print(markdown_table(columns, cells))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main()
