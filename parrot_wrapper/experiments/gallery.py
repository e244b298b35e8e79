"""Which figures a study has, with what a reader needs to read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_wrapper.experiments import figures
from parrot_wrapper.experiments.figure_style import drawing, is_crowded, save_png
from parrot_wrapper.experiments.figures import Panel, panels_figure
from parrot_wrapper.experiments.mismatch import compares_data
from parrot_wrapper.experiments.statistics import SMOOTHING
from parrot_wrapper.experiments.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INTERVALS = "95 % stratified bootstrap intervals over runs"
_CURVES = f"share of training episodes that end in success, running mean over {SMOOTHING} bins"


@dataclass(frozen=True)
class Plate:
    """A figure and its text, drawn as a whole or in panels.

    Attributes:
        name: Of its file, and unlike the study's others.
        title: What it shows, in a few words.
        caption: How to read it.
        whole: Makes it from the study; None where there are panels.
        panels: Its panels, in order.
        axes: What runs along x and along y of panels.
    """

    name: str
    title: str
    caption: str
    whole: Callable[[Study], Figure] | None = None
    panels: Sequence[Panel] = ()
    axes: tuple[str, str] = ("env steps", "success in training")

    def draw(self, study: Study) -> Figure:
        """All of it as one figure."""
        return self.whole(study) if self.whole else panels_figure(self.panels, *self.axes)


_SUCCESS = Plate(
    "success",
    "Success of the last checkpoint",
    f"Interquartile mean over tasks and seeds of held-out success, with {_INTERVALS}.",
    figures.success_bars,
)


def plates(study: Study) -> list[Plate]:
    """The study's figures, the most telling one first."""
    if study.explores:
        return [
            Plate(
                "exploration",
                "What random behaviour does",
                "Share of held-out episodes, without any learning; bars are means over tasks, "
                "points are tasks.",
                figures.exploration_bars,
            )
        ]
    if compares_data(study):
        first = Plate(
            "mismatch",
            "Data that match the task, and data that do not",
            f"Interquartile mean of held-out success with {_INTERVALS}. Matched: the prior's data "
            "have this kind of task; mismatched: they do not; remedy: nor do they, but something "
            "else makes up for it.",
            figures.mismatch_bars,
        )
    elif study.varies_data:
        first = Plate(
            "data-size",
            "Success against the number of demonstrations",
            f"Interquartile mean of held-out success with {_INTERVALS}.",
            figures.data_size_curves,
        )
    else:
        return [_SUCCESS, *_curves(study), *_comparison(study)]
    return [first, *_curves(study, over_tasks=not compares_data(study))]


def _comparison(study: Study) -> list[Plate]:
    if len(study.variants) < 2:
        return []
    first = study.name(study.variants[0])
    found = [
        Plate(
            "profiles",
            "Performance profiles",
            f"Share of runs whose held-out success is above the value below, with {_INTERVALS}. A "
            "curve that is higher everywhere is better whatever one counts as success."
            f"{_grey(study)}",
            panels=figures.profile_panels(study),
            axes=("held-out success above", "share of runs"),
        ),
    ]
    if figures.improvements(study):
        found.append(
            Plate(
                "improvement",
                f"How probably {first} is better",
                f"Probability that a run with {first} has more held-out success than a run of the "
                f"other on the same task, mean over tasks, with {_INTERVALS}. Ties count half.",
                figures.improvement_points,
            )
        )
    return found


def _curves(study: Study, *, over_tasks: bool = True) -> list[Plate]:
    if not study.has_curves:
        return []
    mean = Plate(
        "mean-curves",
        "Learning, all tasks",
        f"Against env steps, the interquartile mean over tasks and seeds of the {_CURVES}, with "
        f"{_INTERVALS}.{_grey(study)}",
        panels=figures.mean_curve_panels(study),
    )
    tasks = Plate(
        "task-curves",
        "Learning, task by task",
        f"Against env steps, the mean over seeds of the {_CURVES}; the band is from the lowest to "
        f"the highest seed.{_grey(study)}",
        panels=figures.task_curve_panels(study),
    )
    return [mean, tasks] if over_tasks else [tasks]


def _grey(study: Study) -> str:
    """What the grey line of panels is, where there are so many that each shows one beside it."""
    crowded = is_crowded(study.variants)
    return f" Grey: {study.name(study.variants[0])}, the same in each panel." if crowded else ""


def save_figures(study: Study, folder: Path) -> list[Path]:
    """Write the study's figures as PNGs, named after study and figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    paths = []
    with drawing():
        for plate in plates(study):
            path = folder / f"{study.slug}-{plate.name}.png"
            save_png(plate.draw(study), path)
            paths.append(path)
    return paths
