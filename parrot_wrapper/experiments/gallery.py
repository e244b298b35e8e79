"""Which figures a study has, with what a reader needs to read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_wrapper.experiments import figures
from parrot_wrapper.experiments.figure_style import drawing, save_png
from parrot_wrapper.experiments.mismatch import compares_data
from parrot_wrapper.experiments.statistics import SMOOTHING
from parrot_wrapper.experiments.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK_CURVES = "task-curves"
"""Name of the figure whose panels the page shows one by one, so that they fit any width."""

_INTERVALS = "95 % stratified bootstrap intervals over runs"
_CURVES = f"share of training episodes that end in success, running mean over {SMOOTHING} bins"


@dataclass(frozen=True)
class Plate:
    """A figure and its text.

    Attributes:
        name: Of its file, and unlike the study's others.
        title: What it shows, in a few words.
        caption: How to read it.
        draw: Makes it from the study.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Study], Figure]


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
            f"Interquartile mean of held-out success with {_INTERVALS}. Blue: the prior's data "
            "have this kind of task; orange: they do not; green: they do not, with a remedy.",
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
    first = study.variants[0].name
    found = [
        Plate(
            "profiles",
            "Performance profiles",
            f"Share of runs whose held-out success is above the value below, with {_INTERVALS}. A "
            "curve that is higher everywhere is better whatever one counts as success.",
            figures.profiles,
        ),
    ]
    if figures.improvements(study):
        found.append(
            Plate(
                "improvement",
                f"How probably {first} is better",
                f"Probability that a run with {first} has more held-out success than a run of the "
                f"other method on the same task, mean over tasks, with {_INTERVALS}. Ties count "
                "half.",
                figures.improvement_bars,
            )
        )
    return found


def _curves(study: Study, *, over_tasks: bool = True) -> list[Plate]:
    if not study.has_curves:
        return []
    found = [
        Plate(
            "mean-curves",
            "Learning, all tasks",
            f"Interquartile mean over tasks and seeds of the {_CURVES}, with {_INTERVALS}.",
            figures.mean_curves,
        ),
        Plate(
            TASK_CURVES,
            "Learning, task by task",
            f"Mean over seeds of the {_CURVES}; the band is from the lowest to the highest seed.",
            figures.task_curves,
        ),
    ]
    return found if over_tasks else found[1:]


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
