"""`parrot report`: from result rows to tables, figures and one HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from parrot_wrapper.cli.environments import packages_of
from parrot_wrapper.cli.evaluate import film_run
from parrot_wrapper.errors import InvalidArgumentError, absence
from parrot_wrapper.experiments.grid_folders import GRID_FILE
from parrot_wrapper.experiments.studies import STUDIES
from parrot_wrapper.io.atomic_files import atomic_path
from parrot_wrapper.registry import DEFAULT_PACKAGES
from parrot_wrapper.surroundings import use_threads

if TYPE_CHECKING:  # it brings SciPy, which --help should not
    from parrot_wrapper.experiments.study import Study

FILM_FILE = "held-out.gif"
_SIDE = 128
"""Frames are made smaller by whole factors to at least so many pixels: a page has many films."""


@dataclass(frozen=True)
class ReportCommand:
    """Turn results folders into tables, figures and one HTML page that needs nothing else.

    The tables are printed as Markdown too. Folders of the same grid and setting become one study;
    an unfinished grid is reported as far as it is.

    Attributes:
        folders: Results folders of `parrot experiment`.
        out: The page.
        figures: Also write each figure as a PNG into this folder.
        markdown: Also write the tables into this file.
        runs: Folders of runs, whose films (GIF, WebP, MP4, WebM) the page shows.
        film: First film a held-out episode of each task and method that has no film in `runs`.
        heading: Title of the page.
        gym_packages: Modules whose import registers env ids, for filming.
    """

    folders: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER [FOLDER ...]")
    ] = ()
    out: Path = Path("report.html")
    figures: Path | None = None
    markdown: Path | None = None
    runs: tuple[Path, ...] = ()
    film: bool = False
    heading: str = "PARROT results"
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES

    def run(self) -> None:
        """Write the page and whatever else was asked for; print the tables."""
        from parrot_wrapper.experiments.figures import save_figures
        from parrot_wrapper.experiments.page import report_markdown, report_page
        from parrot_wrapper.experiments.study import load_studies

        if not self.folders:
            raise InvalidArgumentError(
                "Expected one results folder at least, such as results/main-laptop, got none."
            )
        for folder in self.runs:
            if not folder.is_dir():
                raise InvalidArgumentError(
                    f"Expected a folder of runs, got {folder}.{absence(folder)}"
                )
        studies = load_studies(self.folders)
        if self.film:
            self._film(studies)
        text = report_markdown(studies)
        page = report_page(
            studies,
            heading=self.heading,
            commands=[*_experiments(self.folders, studies), self._command()],
            film_folders=self.runs,
        )
        _write(self.out, page)
        if self.markdown is not None:
            _write(self.markdown, text)
        print(text)
        if self.figures is not None:
            for study in studies:
                for path in save_figures(study, self.figures):
                    print(path)
        print(self.out)

    def _film(self, studies: Sequence[Study]) -> None:
        from parrot_wrapper.experiments.page import runs_to_film

        if not self.runs:
            raise InvalidArgumentError(
                "Expected --runs, the folders of the runs to film, got none."
            )
        use_threads()
        for run in [run for study in studies for run in runs_to_film(study, self.runs)]:
            path, packages = run / FILM_FILE, packages_of(run, self.gym_packages)
            if not film_run(run, path, packages=packages, side=_SIDE):
                raise InvalidArgumentError(
                    "Expected runs of envs with render mode rgb_array or with image observations, "
                    f"got one of neither: {run} cannot be filmed."
                )
            print(path)

    def _command(self) -> str:
        parts = ["parrot", "report", *map(str, self.folders)]
        for option, paths in (
            ("--runs", self.runs),
            ("--figures", (self.figures,)),
            ("--markdown", (self.markdown,)),
            ("--out", (self.out,)),
        ):
            given = [str(path) for path in paths if path is not None]
            parts += [option, *given] if given else []
        parts += ["--film"] if self.film else []
        if self.heading != ReportCommand.heading:
            parts += ["--heading", self.heading]
        if self.gym_packages != DEFAULT_PACKAGES:
            parts += ["--gym-packages", *self.gym_packages]
        return shlex.join(parts)


def _experiments(folders: Sequence[Path], studies: Sequence[Study]) -> list[str]:
    """How the results were made: by name where they are of a study, else from their own grid."""
    named = {f"{study.grid}-{study.setting}": study for study in studies if study.grid in STUDIES}
    commands = []
    for folder in folders:
        study = named.get(folder.name)
        if study is not None:
            parts = [study.grid, "--setting", study.setting]
        else:
            parts = ["--grid", str(folder / GRID_FILE)]
        commands.append(shlex.join(["parrot", "experiment", *parts]))
    return commands


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
