"""Films of runs for the page: GIFs and videos in the folders of runs, taken in up to a size."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parrot_wrapper.experiments.study import METHOD_NAMES, Study, task_name

KINDS = {
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""Endings of films and what they are."""

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
    paths = sorted(p for f in folders for p in f.rglob("*") if p.suffix in KINDS and p.is_file())
    methods = list(dict.fromkeys(variant.method for variant in study.variants))
    films: list[Film] = []
    left_out, room = 0, max_bytes
    for task in study.tasks:
        for method in methods:
            path = next((path for path in paths if {task, method} <= set(path.parts)), None)
            if path is None:
                continue
            content = path.read_bytes()
            if len(content) > room:
                left_out += 1
                continue
            room -= len(content)
            data = base64.b64encode(content).decode("ascii")
            label = f"{task_name(task)}: {METHOD_NAMES.get(method, method)}"
            films.append(Film(label, f"data:{KINDS[path.suffix]};base64,{data}"))
    return films, left_out
