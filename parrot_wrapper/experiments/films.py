"""Films of runs for the page: GIFs and videos in the folders of runs, taken in up to a size."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parrot_wrapper.experiments.study import Study, Variant, task_name

KINDS = {
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
        films.append(Film(label, f"data:{KINDS[path.suffix]};base64,{data}"))
    return films, left_out


def runs_to_film(study: Study, folders: Sequence[Path]) -> list[Path]:
    """One run with a checkpoint for each task and method that has no film yet."""
    filmed = _first_of_each(study, _files(folders))
    runs = sorted(path.parent for folder in folders for path in folder.rglob(CHECKPOINTS))
    first = _first_of_each(study, [run for run in runs if any((run / CHECKPOINTS).iterdir())])
    return [run for pair, run in first.items() if pair not in filmed]


def _files(folders: Sequence[Path]) -> list[Path]:
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix in KINDS and p.is_file())


def _first_of_each(study: Study, paths: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """For each task and method of a study the first path that both are part of."""
    methods = study.method_names
    found: dict[tuple[str, str], Path] = {}
    for pair in itertools.product(study.tasks, methods):
        path = next((path for path in paths if set(pair) <= set(path.parts)), None)
        if path is not None:
            found[pair] = path
    return found
