"""How the figures look: colours of methods, ink, labels at the ends of lines, SVG and PNG.

A figure that becomes part of the page takes its ink from the page, so that it can be read on light
and on dark ground alike; saved as a file it is dark on white.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_wrapper.atomic_files import atomic_path
from parrot_wrapper.evaluation.pictures import matplotlib_classes
from parrot_wrapper.experiments.study import Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, RULE = "#1b1f24", "#5b6470", "#d5d9de"
"""Text and axes, lesser text, grid lines."""

_COLORS = {
    "parrot": "#0072b2",
    "bc-sac": "#e69f00",
    "prior-explore": "#d55e00",
    "hirl": "#cc79a7",
    "trajrl": "#009e73",
    "vae-features": "#56b4e9",
    "sac": "#7a7f87",
    "uniform": "#7a7f87",
}
"""Okabe and Ito's colours, which people with any colour vision tell apart."""
_OTHERS = ("#8c6d31", "#6b4fa0", "#4d7a26", "#a3324b")
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


def variant_colors(variants: Sequence[Variant]) -> dict[Variant, str]:
    """A colour for each: that of its method, paler for all but the last of the same method.

    Example:
        >>> sizes = [Variant("parrot", 5_000), Variant("parrot", 50_000), Variant("sac")]
        >>> list(variant_colors(sizes).values())
        ['#60a7cf', '#0072b2', '#7a7f87']
    """
    strange = sorted({variant.base for variant in variants} - set(_COLORS))
    bases = {**_COLORS, **{name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(strange)}}
    colors: dict[Variant, str] = {}
    for base in dict.fromkeys(variant.base for variant in variants):
        same = [variant for variant in variants if variant.base == base]
        for place, variant in enumerate(same, start=1):
            colors[variant] = _paler(bases[base], 0.75 * (1 - place / len(same)))
    return {variant: colors[variant] for variant in variants}


_width = ContextVar("width", default=WIDE)


@contextmanager
def drawing(width: float = WIDE) -> Iterator[None]:
    """Draw and save figures in the report's style, whatever the user's own settings are.

    Args:
        width: Of the figures, in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib_classes()  # says how to get matplotlib where it is missing
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_PARAMETERS)
        token = _width.set(width)
        try:
            yield
        finally:
            _width.reset(token)


def new_figure(height: float, *, width: float | None = None) -> Figure:
    """An empty figure of a size in inches, as wide as `drawing` says where that is left out."""
    figure_class, canvas_class = matplotlib_classes()
    size = (_width.get() if width is None else width, height)
    figure: Figure = figure_class(figsize=size, layout="constrained")
    canvas_class(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG on white, atomically."""
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=200, facecolor="white")


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
    places = _apart([end[0] for end in ends], (high - low) * 0.075, low, high)
    for (height, name, color, end), place in zip(ends, places, strict=True):
        axes.annotate(
            name,
            xy=(end, height),
            xytext=(1.03, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            annotation_clip=False,
            color=INK,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 1.2,
                "relpos": (0, 0.5),
                "shrinkA": 2,
                "shrinkB": 0,
            },
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


def _apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The heights, each at least `gap` from the next, moved as little as a few sweeps allow."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed: list[float] = []
    for i in order:  # upwards, each above the one before
        placed.append(max(heights[i], placed[-1] + gap if placed else low + gap / 2))
    ceiling = high - gap / 2
    for k in reversed(range(len(placed))):  # and back from the top
        placed[k] = min(placed[k], ceiling)
        ceiling = placed[k] - gap
    result = [0.0] * len(heights)
    for place, i in zip(placed, order, strict=True):
        result[i] = place
    return result


def _paler(color: str, share: float) -> str:
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def _page_font(found: re.Match[str]) -> str:
    """CSS that keeps a text's size and takes the page's font."""
    return f"font{found[1] or ''}: {found[2]}var(--sans)"
