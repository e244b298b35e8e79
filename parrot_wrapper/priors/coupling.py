"""Coupling layers: the bijections that a RealNVP is stacked from.

Direction, here and everywhere: *encode* takes an action to base noise, *decode* takes base noise
to an action. Nothing in this module knows what an observation is; conditioning comes in as a
context vector.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from parrot_wrapper.priors.splines import rational_quadratic


def bounded_log_scale(raw: Tensor, bound: float) -> Tensor:
    """Squash `raw` smoothly into (-bound, bound); the identity to first order around zero."""
    return bound * torch.tanh(raw / bound)


class Coupling(nn.Module):
    """Base of conditional coupling layers: one part of a vector moves as the rest says.

    The first `split` dimensions (the others if `flip`) are kept; one net that sees them and the
    context says how each of the rest moves (Singh et al. 2021, figure 8). With one dimension
    nothing is kept and the layer is conditioned on the context alone. The net's last layer starts
    at zero, so that a new layer is the identity.

    Args:
        dim: Dimensions of the vectors, at least 1.
        context_dim: Length of the context, at least 0.
        flip: Transform the first part instead of the second.
        hidden: Width of the net.
        hidden_layers: Its hidden layers, at least 1.
        outputs: Numbers that say how one dimension moves.
    """

    def __init__(
        self,
        dim: int,
        *,
        context_dim: int,
        flip: bool = False,
        hidden: int = 256,
        hidden_layers: int = 2,
        outputs: int,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.split = dim // 2
        self.flip = flip
        first = dim == 1 or flip  # with one dimension every layer transforms it
        self.transforms_first = first
        kept = 0 if dim == 1 else (dim - self.split if first else self.split)
        self.kept, moved = kept, dim - kept
        layers: list[nn.Module] = []
        width = kept + context_dim
        for _ in range(hidden_layers):
            # SiLU, not ReLU: the map must be smooth in what the agent sees.
            layers += [nn.Linear(width, hidden), nn.SiLU()]
            width = hidden
        last = nn.Linear(width, outputs * moved)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(*layers, last)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Kept and moved part of (B, dim)."""
        if self.dim == 1:
            return x[:, :0], x
        first, second = x[:, : self.split], x[:, self.split :]
        return (second, first) if self.transforms_first else (first, second)

    def _join(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, kept) if self.transforms_first else (kept, moved), dim=1)

    def _said(self, kept: Tensor, context: Tensor) -> Tensor:
        """What the net says of the moved part."""
        said: Tensor = self.net(torch.cat((kept, context), dim=1))
        return said

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Towards noise: (B, dim), (B, C) to the image (B, dim) and log|det J| (B,)."""
        raise NotImplementedError

    def decode(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Towards actions: the inverse of `encode` and its log|det J| (B,)."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Shown by `repr`: which part moves."""
        part = "all" if self.dim == 1 else ("first" if self.transforms_first else "second")
        return f"dim={self.dim}, transforms={part}"


class AffineCoupling(Coupling):
    """One conditional affine coupling layer (Dinh et al. 2017, equations 7 and 8).

    In the decode direction the moved part becomes `x * exp(v) + t`.

    Args:
        dim: Dimensions of the vectors, at least 1.
        log_scale_bound: v stays within plus and minus this.
        **sizes: `context_dim`, `flip`, `hidden` and `hidden_layers` of `Coupling`.

    Example:
        >>> layer = AffineCoupling(3, context_dim=2)
        >>> z, log_det = layer.encode(torch.ones(4, 3), torch.zeros(4, 2))
        >>> z.shape, log_det.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    def __init__(self, dim: int, *, log_scale_bound: float = 3.0, **sizes: Any) -> None:
        super().__init__(dim, outputs=2, **sizes)
        self.log_scale_bound = log_scale_bound

    def _shift_and_log_scale(self, kept: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self._said(kept, context).chunk(2, dim=1)
        return shift, bounded_log_scale(raw, self.log_scale_bound)

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As `Coupling.encode`."""
        kept, moved = self._parts(x)
        shift, log_scale = self._shift_and_log_scale(kept, context)
        return self._join(kept, (moved - shift) * torch.exp(-log_scale)), -log_scale.sum(dim=1)

    def decode(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As `Coupling.decode`."""
        kept, moved = self._parts(z)
        shift, log_scale = self._shift_and_log_scale(kept, context)
        return self._join(kept, moved * torch.exp(log_scale) + shift), log_scale.sum(dim=1)

    def extra_repr(self) -> str:
        """With the bound."""
        return f"{super().extra_repr()}, log_scale_bound={self.log_scale_bound}"


class SplineCoupling(Coupling):
    """One conditional coupling layer that moves each number along a spline (Durkan et al. 2019).

    Args:
        dim: Dimensions of the vectors, at least 1.
        bins: Of each spline, at least 2.
        bound: Numbers beyond plus and minus this stay as they are.
        **sizes: `context_dim`, `flip`, `hidden` and `hidden_layers` of `Coupling`.
    """

    def __init__(self, dim: int, *, bins: int = 8, bound: float = 5.0, **sizes: Any) -> None:
        super().__init__(dim, outputs=3 * bins - 1, **sizes)
        self.bound = bound

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As `Coupling.encode`."""
        return self._along(x, context, inverse=False)

    def decode(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As `Coupling.decode`."""
        return self._along(z, context, inverse=True)

    def _along(self, x: Tensor, context: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        kept, moved = self._parts(x)
        raw = self._said(kept, context).view(*moved.shape, -1)
        image, log_slope = rational_quadratic(moved, raw, bound=self.bound, inverse=inverse)
        return self._join(kept, image), log_slope.sum(dim=1)


class LinearMixing(nn.Module):
    """A learned linear bijection, decode z = P L U z, a permutation at first.

    P is a fixed random permutation, L lower triangular with ones on its diagonal, U upper
    triangular with a positive one (Kingma and Dhariwal 2018, section 3.2). Between couplings it
    learns which dimensions to move together (Ghugare and Eysenbach 2025).
    """

    order: Tensor
    back: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        order = torch.randperm(dim)
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())
        self.lower = nn.Parameter(torch.empty(dim, dim))
        self.upper = nn.Parameter(torch.empty(dim, dim))
        self.log_diagonal = nn.Parameter(torch.empty(dim))
        for weights in self.parameters():
            nn.init.zeros_(weights)

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.lower)).to(self.lower)
        return lower, self.upper.triu(1) + self.log_diagonal.exp().diag()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Towards noise: (B, dim) to the image (B, dim), and log|det J|, a scalar."""
        lower, upper = self._factors()
        y = torch.linalg.solve_triangular(lower, x[:, self.back].T, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, y, upper=True).T, -self.log_diagonal.sum()

    def decode(self, z: Tensor) -> Tensor:
        """Towards actions: the inverse of `encode`."""
        lower, upper = self._factors()
        return (z @ (lower @ upper).T)[:, self.order]


COUPLINGS = ("affine", "spline")
"""Kinds of coupling layers."""


class TrunkBlock(nn.Module):
    """x + f(norm(x)) for (B, width), where f is a net of two layers that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        moved: Tensor = self.net(x)
        return x + moved


class Trunk(nn.Sequential):
    """A residual net between the context and all coupling layers of a stack.

    A coupling layer's own net says how a few dimensions move; what has to be understood for that,
    such as which of several things is next, all layers need alike.

    Args:
        context_dim: Length of the context.
        width: Of its blocks and its output.
        blocks: How many.
    """

    def __init__(self, context_dim: int, *, width: int, blocks: int) -> None:
        super().__init__(
            nn.Linear(context_dim, width),
            *(TrunkBlock(width) for _ in range(blocks)),
            nn.LayerNorm(width),
        )


class CouplingStack(nn.Module):
    """Coupling layers with alternating parts: a conditional RealNVP on standardised actions.

    Args:
        dim: Dimensions of the vectors.
        context_dim: Length of the context.
        layers: How many.
        coupling: "affine" or "spline".
        hidden: Width of each layer's net.
        hidden_layers: Hidden layers of each net.
        log_scale_bound: Of affine layers.
        spline_bins: Of spline layers.
        spline_bound: Of spline layers.
        mixing: Put a learned linear map on the noise's far side of each layer.
        trunk_blocks: Residual blocks of a `Trunk` between the context and all layers; 0 for none.
        trunk_width: Its width.
    """

    def __init__(
        self,
        dim: int,
        *,
        context_dim: int,
        layers: int = 4,
        coupling: str = "affine",
        hidden: int = 256,
        hidden_layers: int = 2,
        log_scale_bound: float = 3.0,
        spline_bins: int = 8,
        spline_bound: float = 5.0,
        mixing: bool = False,
        trunk_blocks: int = 0,
        trunk_width: int = 256,
    ) -> None:
        super().__init__()
        self.trunk = None
        if trunk_blocks:
            self.trunk = Trunk(context_dim, width=trunk_width, blocks=trunk_blocks)
            context_dim = trunk_width
        kind: type[Coupling] = AffineCoupling
        own: dict[str, Any] = {"log_scale_bound": log_scale_bound}
        if coupling == "spline":
            kind, own = SplineCoupling, {"bins": spline_bins, "bound": spline_bound}
        sizes = {"context_dim": context_dim, "hidden": hidden, "hidden_layers": hidden_layers}
        couplings = [kind(dim, flip=bool(index % 2), **sizes, **own) for index in range(layers)]
        self.couplings = nn.ModuleList(couplings)
        self.mixings = nn.ModuleList([LinearMixing(dim) for _ in range(layers)] if mixing else [])

    def condition(self, context: Tensor) -> Tensor:
        """What the layers' nets see of contexts (B, C)."""
        return context if self.trunk is None else self.trunk(context)

    def _layers(self) -> list[tuple[LinearMixing | None, Coupling]]:
        couplings = cast("list[Coupling]", list(self.couplings))  # ModuleList is untyped
        mixings = cast("list[LinearMixing | None]", list(self.mixings) or [None] * len(couplings))
        return list(zip(mixings, couplings, strict=True))

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Towards noise: (B, dim), (B, C) to noise (B, dim) and log|det J| (B,)."""
        total, context = x.new_zeros(len(x)), self.condition(context)
        for mixing, layer in self._layers():
            if mixing is not None:
                x, log_det = mixing.encode(x)
                total = total + log_det
            x, log_det = layer.encode(x, context)
            total = total + log_det
        return x, total

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Towards actions: the inverse of `encode`."""
        context = self.condition(context)
        for mixing, layer in reversed(self._layers()):
            z, _ = layer.decode(z, context)
            if mixing is not None:
                z = mixing.decode(z)
        return z
