"""Studies as one HTML page that needs nothing else, films included, and as Markdown."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import needed_extra
from parrot_wrapper.experiments import tables
from parrot_wrapper.experiments.figure_style import (
    NARROW,
    drawing,
    panel_figure,
    svg_text,
    variant_colors,
)
from parrot_wrapper.experiments.figures import Plate, plates
from parrot_wrapper.experiments.judged_priors import (
    JUDGED_CAPTION,
    RANKED_CAPTION,
    SPENT_CAPTION,
    judged_table,
    ranking_table,
    spent_table,
)
from parrot_wrapper.experiments.statistics import RESAMPLES, SMOOTHING
from parrot_wrapper.experiments.study import Study, Variant, compares_data, task_name
from parrot_wrapper.experiments.tables import LEVELS, Table, cautions, findings, title

_ASSETS = Path(__file__).parents[1] / "assets" / "report"
_REACH = (
    f"the first env step after which the mean of {SMOOTHING} bins of training episodes is that high"
)


def report_page(
    studies: Sequence[Study],
    *,
    heading: str = "PARROT results",
    commands: Sequence[str] = (),
    film_folders: Sequence[Path] = (),
) -> str:
    """The page of some studies.

    Args:
        studies: One at least.
        heading: Title of the page.
        commands: What a reader types to remake it.
        film_folders: Folders of runs, whose films are shown.
    """
    with needed_extra("plots", "The report needs jinja2"):
        from jinja2 import Environment, StrictUndefined
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string((_ASSETS / "page.html").read_text(encoding="utf-8"))
    with drawing():
        sections = [_section(study, film_folders) for study in studies]
    only = f"{heading}: {sections[0]['title']}" if len(sections) == 1 else heading
    return template.render(
        title=only,
        style=(_ASSETS / "page.css").read_text(encoding="utf-8"),
        sections=sections,
        commands=commands,
        footer=_footer(studies),
    )


def _section(study: Study, film_folders: Sequence[Path]) -> dict[str, Any]:
    colors = variant_colors(study.variants)
    films, left_out = find_films(study, film_folders)
    caption = "One held-out episode of the last checkpoint each; a green rim: the task is done."
    if left_out:
        caption += f" {left_out} more are not shown: the page would be too large."
    return {
        "slug": study.slug,
        "title": title(study),
        "findings": findings(study),
        "cautions": cautions(study),
        "summary": _summary(study, colors),
        "plates": [_plate(study, plate) for plate in plates(study)],
        "tables": _tables(study, colors),
        "films": films,
        "films_caption": caption,
        "differences": _grid(tables.differences(study), colors),
        "common": _grid(tables.common(study)),
        "versions": _grid(tables.versions(study)),
        "machines": tables.machines(study),
    }


def _plate(study: Study, plate: Plate) -> dict[str, Any]:
    """A drawing for each of several panels; else one for wide and one for narrow screens."""
    name = f"{study.slug}-{plate.name}"
    text = {"title": plate.title, "caption": plate.caption}
    if len(plate.panels) > 1:
        drawn = [
            (panel, svg_text(panel_figure(panel), f"{name}-{i}", f"{plate.title}: {panel.title}"))
            for i, panel in enumerate(plate.panels)
        ]
        groups = [
            (group, [(panel.title, svg) for panel, svg in found])
            for group, found in itertools.groupby(drawn, key=lambda pair: pair[0].group)
        ]
        return {**text, "groups": groups, "named": plate.panels[0].named}
    wide = svg_text(plate.draw(study), name, plate.title)
    with drawing(NARROW):
        narrow = svg_text(plate.draw(study), f"{name}-narrow", plate.title)
    return {**text, "groups": [], "wide": wide, "narrow": narrow}


def _summary(study: Study, colors: Mapping[Variant, str]) -> dict[str, Any]:
    table = _grid(tables.main_table(study), colors)
    if study.explores:
        return {"table": table, "caption": "Shares of held-out episodes, means over tasks."}
    caption = (
        "Success: share of held-out episodes in which the task is done on the last step, last "
        "checkpoint. IQM: mean of the middle half of all runs, with its 95 % stratified bootstrap "
        f"interval ({RESAMPLES:,} resamples)."
    )
    if not compares_data(study):
        steps = " and ".join(f"{100 * level:.0f} %" for level in LEVELS)
        caption += (
            f" Steps to {steps}: {_REACH}; the median over runs, a dash where fewer than half get "
            "there, and how many do. Minutes: training alone."
        )
    return {"table": table, "caption": caption}


def _tables(study: Study, colors: Mapping[Variant, str]) -> list[dict[str, Any]]:
    if study.explores:
        return []
    found = [
        {
            "title": "Success, task by task",
            "table": _grid(tables.task_table(study), colors),
            "caption": "Held-out success, mean over seeds with its 95 % bootstrap interval, which "
            "is rough with few seeds.",
        }
    ]
    if study.judges:
        found.append(
            {
                "title": "What each prior is worth before RL, and what it costs",
                "table": _grid(judged_table(study), colors),
                "caption": JUDGED_CAPTION,
            }
        )
        ranking = ranking_table(study)
        if ranking:
            title = "What tells before RL how well it will do"
            found.append({"title": title, "table": _grid(ranking), "caption": RANKED_CAPTION})
    spent = spent_table(study)
    if spent:
        told = {"table": _grid(spent, colors), "caption": SPENT_CAPTION}
        found.append({"title": "What agents paid: nats, and unsafe events", **told})
    if study.has_curves:
        levels = " / ".join(f"{100 * level:.0f} %" for level in LEVELS)
        found.append(
            {
                "title": f"Env steps to {levels}, task by task",
                "table": _grid(tables.steps_table(study), colors),
                "caption": f"Median over seeds of {_REACH}; a dash where fewer than half of the "
                "seeds get there.",
            }
        )
    return found


def _grid(table: Table, colors: Mapping[Variant, str] | None = None) -> dict[str, Any]:
    """A table as the template wants it: with a colour, or None, for each row."""
    marks: list[str | None] = [None] * len(table.rows)
    if colors and table.about:
        marks = [colors[variant] for variant in table.about]
    rows = list(zip(marks, table.rows, strict=True))
    return {"header": table.header, "rows": rows, "texts": table.texts}


def _footer(studies: Sequence[Study]) -> str:
    rows = [row for study in studies for row in study.rows]
    last = max(row.finished for row in rows)[:16].replace("T", " ")
    return f"{len(rows)} runs, the last one finished on {last} UTC."


def report_markdown(studies: Sequence[Study]) -> str:
    """The findings and main tables of some studies."""
    return "\n\n".join(part for study in studies for part in _markdown(study)) + "\n"


def _markdown(study: Study) -> list[str]:
    parts = [f"## {title(study)}", "\n".join(findings(study))]
    notes = cautions(study)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    parts.append(tables.main_table(study).markdown())
    if study.explores:
        return parts
    if study.judges:
        parts.append(judged_table(study).markdown())
        ranking = ranking_table(study)
        parts += [ranking.markdown()] if ranking else []
    spent = spent_table(study)
    parts += [spent.markdown()] if spent else []
    return [*parts, tables.task_table(study).markdown()]


_FILMS = {
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""Endings of films and what they are."""

CHECKPOINTS = "checkpoints"
"""Folder of a run that its agent lies in."""

MAX_BYTES = 8_000_000
"""So much of films goes into a page, before base64 makes it a third more."""


@dataclass(frozen=True)
class Film:
    """A film that stands in the page itself.

    Attributes:
        label: What it shows.
        source: A `data:` address with all its bytes.
    """

    label: str
    source: str

    @property
    def is_video(self) -> bool:
        """Whether it needs a player."""
        return self.source.startswith("data:video/")


def find_films(
    study: Study, folders: Sequence[Path], *, max_bytes: int = MAX_BYTES
) -> tuple[list[Film], int]:
    """Films of a study's runs, in the order of its tasks and methods, one for each.

    A film is one of a task and a method if both are names of folders that it lies in, as
    `parrot experiment` lays runs out.

    Args:
        study: The study.
        folders: Where to look, at any depth.
        max_bytes: So much is taken in; what does not fit is left out.

    Returns:
        The films, and how many were left out because of their size.
    """
    films: list[Film] = []
    left_out, room = 0, max_bytes
    for (task, method), path in _first_of_each(study, _files(folders)).items():
        content = path.read_bytes()
        if len(content) > room:
            left_out += 1
            continue
        room -= len(content)
        data = base64.b64encode(content).decode("ascii")
        label = f"{task_name(task)}: {Variant(method).name}"
        films.append(Film(label, f"data:{_FILMS[path.suffix]};base64,{data}"))
    return films, left_out


def runs_to_film(study: Study, folders: Sequence[Path]) -> list[Path]:
    """One run with a checkpoint for each task and method that has no film yet."""
    filmed = _first_of_each(study, _files(folders))
    runs = sorted(path.parent for folder in folders for path in folder.rglob(CHECKPOINTS))
    first = _first_of_each(study, [run for run in runs if any((run / CHECKPOINTS).iterdir())])
    return [run for pair, run in first.items() if pair not in filmed]


def _files(folders: Sequence[Path]) -> list[Path]:
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix in _FILMS and p.is_file())


def _first_of_each(study: Study, paths: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """For each task and method of a study the first path that both are part of."""
    methods = study.method_names
    found: dict[tuple[str, str], Path] = {}
    for pair in itertools.product(study.tasks, methods):
        path = next((path for path in paths if set(pair) <= set(path.parts)), None)
        if path is not None:
            found[pair] = path
    return found
