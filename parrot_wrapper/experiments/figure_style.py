"""How the figures look: colours of methods, ink, labels at the ends of lines, SVG and PNG.

A figure that becomes part of the page takes its ink from the page, so that it can be read on light
and on dark ground alike; saved as a file it is dark on white.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from parrot_wrapper.evaluation import pictures
from parrot_wrapper.experiments.methods import METHODS
from parrot_wrapper.experiments.study import Variant
from parrot_wrapper.io.atomic_files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, RULE = "#1b1f24", "#5b6470", "#d5d9de"
"""Text and axes, lesser text, grid lines."""

_OTHERS = ("#8c6d31", "#6b4fa0", "#4d7a26", "#a3324b")
_FEW = 7
"""So many lines of different colours can be told apart in one drawing."""
_LINE = 0.17
"""Height of a line of text, in inches."""
_LEADER = 0.25
"""Inches between the end of a line and its name."""
_LABEL_WIDTH = 18
"""Characters after which a name goes on below."""
WIDE, NARROW = 7.2, 4.1
"""Inches: as wide as the text of a README or of the page, and as a phone."""
_PARAMETERS: Any = {  # matplotlib types its keys, and not alike in all versions
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": FAINT,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "parrot",
}


def is_crowded(variants: Sequence[Variant]) -> bool:
    """Whether these are too many for one drawing and for a colour each."""
    return len(variants) > _FEW


def variant_colors(variants: Sequence[Variant]) -> dict[Variant, str]:
    """A colour for each: the last of a method has that of the method, others one that is free.

    Where there are too many, all of a method have the same; the first is grey.

    Example:
        >>> sizes = [Variant("parrot", 5_000), Variant("parrot", 50_000), Variant("sac")]
        >>> list(variant_colors(sizes).values())
        ['#e69f00', '#0072b2', '#7a7f87']
    """
    last = {variant.base: variant for variant in variants}
    strange = iter(_OTHERS * len(last))
    methods = {base: last[base].colour or next(strange) for base in sorted(last)}
    if is_crowded(variants):
        return {**{v: methods[v.base] for v in variants}, variants[0]: FAINT}
    colors = {variant: methods[base] for base, variant in last.items()}
    every = dict.fromkeys((*(method.colour for method in METHODS.values()), *_OTHERS))
    free = iter([color for color in every if color not in colors.values()])
    return {v: colors[v] if v in colors else next(free) for v in variants}


_width = ContextVar("width", default=WIDE)


@contextmanager
def drawing(width: float = WIDE) -> Iterator[None]:
    """Draw and save figures in the report's style, whatever the user's own settings are.

    Args:
        width: Of the figures, in inches.
    """
    pictures.new_figure(1.0, 1.0)  # says how to get matplotlib where it is missing
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_PARAMETERS)
        token = _width.set(width)
        try:
            yield
        finally:
            _width.reset(token)


def fits_columns() -> bool:
    """Whether figures are wide enough for several drawings side by side."""
    return _width.get() > NARROW


def new_figure(height: float, *, width: float | None = None) -> Figure:
    """An empty figure of a size in inches, as wide as `drawing` says where that is left out."""
    return pictures.new_figure(_width.get() if width is None else width, height)


@dataclass(frozen=True)
class Panel:
    """A small drawing with few lines.

    Attributes:
        title: What it shows; empty for a panel that is a figure of its own.
        draw: Draws it.
        named: Whether it names its lines, which takes width.
        group: A heading that it shares with the panels beside it.
    """

    title: str
    draw: Callable[[Axes], None]
    named: bool
    group: str = ""


def panels_figure(panels: Sequence[Panel], xlabel: str, ylabel: str) -> Figure:
    """Panels as one figure: two columns if they name their lines, else four."""
    if len(panels) == 1:
        figure = new_figure(3.0)
        axes = figure.subplots()
        panels[0].draw(axes)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        return figure
    named = panels[0].named
    columns = 2 if named else 4
    groups = [list(found) for _, found in itertools.groupby(panels, key=lambda p: p.group)]
    rows = [math.ceil(len(group) / columns) for group in groups]
    figure = new_figure((1.75 if named else 1.4) * sum(rows) + 0.3 * len(rows) + 0.2)
    parts = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=rows)[:, 0]
    for part, group, count in zip(parts, groups, rows, strict=True):
        part.suptitle(group[0].group, weight="bold", size="large")
        grid = part.subplots(count, columns, squeeze=False, sharey=True).ravel()
        for axes, panel in zip(grid, group, strict=False):
            panel.draw(axes)
            axes.set_title(panel.title)
        for axes in grid[len(group) :]:
            axes.set_visible(False)
        part.supylabel(ylabel, fontsize="medium", color=FAINT)
    parts[-1].supxlabel(xlabel, fontsize="medium", color=FAINT)
    return figure


def panel_figure(panel: Panel) -> Figure:
    """One of several panels as a small figure of its own, without its title."""
    figure = new_figure(1.9 if panel.named else 1.4, width=4.4 if panel.named else 2.1)
    panel.draw(figure.subplots())
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG on white, with a palette, which is small; atomically."""
    from PIL import Image  # matplotlib brings it

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=200, facecolor="white")
    with atomic_path(path) as partial:
        Image.open(stream).convert("RGB").quantize(256).save(partial, format="png", optimize=True)


def svg_text(figure: Figure, name: str, title: str) -> str:
    """A figure as an SVG element for the page: no size of its own, inks from the page.

    Args:
        figure: The figure.
        name: Unlike that of any other figure of the page; ids in the SVG begin with it.
        title: What a screen reader says in its place.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"""font(-family)?: ?([^;"]*?)'DejaVu Sans'[^;"]*""", _page_font, text)
    for color, variable in ((INK, "ink"), (FAINT, "faint"), (RULE, "rule")):
        text = text.replace(color, f"var(--{variable})")
    head, _, rest = text.partition(">")
    size = re.search(r'viewBox="([^"]*)"', head)
    assert size is not None
    return (
        f'<svg viewBox="{size[1]}" role="img" aria-label="{escape(title)}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'
    )


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str, float]]) -> None:
    """Write names to the right of the ends of lines, moved apart where they would overlap.

    Args:
        axes: With its final limits.
        ends: (height of the end, name, colour, where along x it ends) of each line.
    """
    low, high = axes.get_ylim()
    box = axes.get_window_extent()
    inches = axes.figure.dpi * (high - low) / box.height  # of the axis, to an inch
    names = [fill(name, _LABEL_WIDTH, break_long_words=False) for _, name, _, _ in ends]
    sizes = [_LINE * (name.count("\n") + 1) * inches for name in names]
    places = _apart([end[0] for end in ends], sizes, low, high)
    beside = 1.0 + _LEADER * axes.figure.dpi / box.width
    for (height, _, color, end), name, place in zip(ends, names, places, strict=True):
        axes.annotate(
            name,
            xy=(end, height),
            xytext=(beside, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            linespacing=1.0,
            annotation_clip=False,
            color=INK,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 1.1,
                "linestyle": (0, (1.5, 1.2)),
                "relpos": (0, 0.5),
                "shrinkA": 2,
                "shrinkB": 0,
            },
        )


def name_rows(axes: Axes, names: Sequence[str], values: Sequence[str]) -> None:
    """Names of rows of bars or points at 0, 1, ..., from top to bottom, and their values.

    The values stand to the right, outside, where nothing crosses them.
    """
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    for place, text in enumerate(values):
        axes.annotate(
            text,
            xy=(1.0, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )


def success_axis(axes: Axes, *, along: str = "y") -> None:
    """Limits and ticks of success rates."""
    ticks, names = [0.0, 0.25, 0.5, 0.75, 1.0], ["0", "", "0.5", "", "1"]
    if along == "y":
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks(ticks, names)
    else:
        axes.set_xlim(-0.01, 1.01)
        axes.set_xticks(ticks, names)


def steps_axis(axes: Axes, last: float) -> None:
    """Limits and ticks of env steps, from 0."""
    axes.set_xlim(0.0, last)
    ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= last * 1.001]
    axes.set_xticks(ticks, [short_number(tick) for tick in ticks])


def short_number(number: float) -> str:
    """A count in few characters.

    Example:
        >>> [short_number(n) for n in (0, 500, 2_500, 25_000, 1_500_000)]
        ['0', '500', '2.5K', '25K', '1.5M']
    """
    for size, unit in ((1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _apart(
    heights: Sequence[float], sizes: Sequence[float], low: float, high: float
) -> list[float]:
    """Middles of labels of some sizes, near the heights, moved so that none overlaps another."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for _ in range(100):  # neighbours that overlap part by equal shares
        for under, over in itertools.pairwise(order):
            overlap = (sizes[under] + sizes[over]) / 2 - (placed[over] - placed[under])
            placed[under] -= max(overlap, 0.0) / 2
            placed[over] += max(overlap, 0.0) / 2
        placed = [max(place, low + size / 2) for place, size in zip(placed, sizes, strict=True)]
    floor, ceiling = low, high
    for i in order:  # what is left, upwards, each above the one before
        placed[i] = max(placed[i], floor + sizes[i] / 2)
        floor = placed[i] + sizes[i] / 2
    for i in reversed(order):  # and back from the top
        placed[i] = min(placed[i], ceiling - sizes[i] / 2)
        ceiling = placed[i] - sizes[i] / 2
    return placed


def _page_font(found: re.Match[str]) -> str:
    """CSS that keeps a text's size and takes the page's font."""
    return f"font{found[1] or ''}: {found[2]}var(--sans)"
