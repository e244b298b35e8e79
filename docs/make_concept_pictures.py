"""Draw the pictures of docs/concepts.md: `python docs/make_concept_pictures.py`. Needs Matplotlib.

The prior is a toy in one dimension whose action is bimodal: reach to the left or to the right. Its
map from noise to action is the quantile function of a mixture of two normal distributions.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from scipy.optimize import brentq
from scipy.stats import norm

from parrot_wrapper import kl_to_prior
from parrot_wrapper.latent import GaussianChart

CENTRES, WIDTHS, SHARES = (-0.5, 0.45), (0.13, 0.18), (0.4, 0.6)
BLUE, ORANGE, GREEN, INK, GREY = "#0072b2", "#d55e00", "#009e73", "#1b1f24", "#7a7f87"
WANTED = 0.6
"""The action that the agent of the second picture has found to be good."""
BUDGETS = ((0.3, GREEN), (1.0, BLUE), (2.0, ORANGE))

Values = np.ndarray[Any, np.dtype[np.float64]]

_GRID = np.linspace(-1.2, 1.2, 4001)
_CUMULATIVE = sum(
    share * norm.cdf(_GRID, centre, width)
    for centre, width, share in zip(CENTRES, WIDTHS, SHARES, strict=True)
)


def decode(z: Values) -> Values:
    """The toy's action for base noise z."""
    return np.interp(norm.cdf(z), _CUMULATIVE, _GRID)


def action_density(density_u: Values, u: Values) -> tuple[Values, Values]:
    """Actions and their density, from a density over u: p(a) = p(u) du/da."""
    action = decode(GaussianChart().to_latent(u).astype(np.float64))
    return action, density_u / np.gradient(action, u)


def best_policy(budget: float, u: Values) -> Values:
    """Density over u of the policy that comes nearest to the wanted action within a KL budget.

    It is the prior, weighted by exp(value / temperature); the value is minus the squared distance.
    """
    value = -((decode(GaussianChart().to_latent(u).astype(np.float64)) - WANTED) ** 2)

    def density(temperature: float) -> Values:
        weight = np.exp(value / temperature)
        return weight / np.trapezoid(weight, u)

    def excess(log_temperature: float) -> float:
        p = density(math.exp(log_temperature))
        return kl_to_prior(-float(np.trapezoid(p * np.log(p + 1e-300), u)), 1) - budget

    return density(math.exp(brentq(excess, -9.0, 3.0)))


def chart_picture() -> Figure:
    """Uniform u, normal z, bimodal action, and where equal steps of u go."""
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots(3, 1)
    u = np.linspace(-0.9999, 0.9999, 2001)
    z = GaussianChart().to_latent(u).astype(np.float64)
    action, density = action_density(np.full_like(u, 0.5), u)
    rows = (
        (u, np.full_like(u, 0.5), (-1.05, 1.05), "u: the agent's box, uniform"),
        (z, norm.pdf(z), (-3.2, 3.2), "z: the prior's noise, normal"),
        (action, density, (-1.05, 1.05), "a: the action, as in the demonstrations"),
    )
    for axis, (x, y, limits, title) in zip(axes, rows, strict=True):
        axis.fill_between(x, y, color=BLUE, alpha=0.25, linewidth=0)
        axis.plot(x, y, color=BLUE)
        axis.set(xlim=limits, ylim=(0, 1.35 * y.max()), yticks=[])
        axis.text(0.01, 0.95, title, color=INK, fontsize=9, va="top", transform=axis.transAxes)
        _plain(axis)
    steps = np.linspace(-0.9, 0.9, 19)
    noise = GaussianChart().to_latent(steps).astype(np.float64)
    for upper, lower, start, end in ((0, 1, steps, noise), (1, 2, noise, decode(noise))):
        for a, b in zip(start, end, strict=True):
            line = ConnectionPatch(
                (a, 0), (b, axes[lower].get_ylim()[1]), "data", "data", axesA=axes[upper],
                axesB=axes[lower], color=GREY, linewidth=0.6, zorder=-1,
            )  # fmt: skip
            figure.add_artist(line)
    return figure


def budget_picture() -> Figure:
    """The best policies of three budgets for one wanted action, over u and over actions."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    u = np.linspace(-0.9999, 0.9999, 4001)
    prior = np.full_like(u, 0.5)
    left.fill_between(u, prior, color=GREY, alpha=0.3, linewidth=0, label="prior")
    right.fill_between(*action_density(prior, u), color=GREY, alpha=0.3, linewidth=0)
    for budget, color in BUDGETS:
        density = best_policy(budget, u)
        left.plot(u, density, color=color, label=f"KL {budget:g}")
        right.plot(*action_density(density, u), color=color)
    left.set(xlim=(-1.05, 1.05), ylim=(0, None), yticks=[])
    right.set(xlim=(-1.05, 1.05), ylim=(0, None), yticks=[])
    left.legend(frameon=False, loc="upper left", fontsize=8)
    right.axvline(WANTED, color=INK, linewidth=0.8, linestyle=":")
    right.annotate("wanted", (WANTED, right.get_ylim()[1]), (4, -9), textcoords="offset points",
                   color=INK, fontsize=8)  # fmt: skip
    for axis, title in ((left, "best policies of three budgets, over u"), (right, "over actions")):
        axis.set_title(title, loc="left", fontsize=9, color=INK)
        _plain(axis)
    return figure


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(GREY)
    axis.tick_params(colors=GREY, labelsize=8)
    for label in axis.get_xticklabels():
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.0})


def main(argv: Sequence[str] | None = None) -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    default = Path(__file__).parent / "images"
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    folder = parser.parse_args(argv).folder
    plain = {"dpi": 150, "metadata": {"Software": None}}
    chart_picture().savefig(folder / "chart.png", **plain)
    budget_picture().savefig(folder / "kl-budget.png", **plain)


if __name__ == "__main__":
    main()
