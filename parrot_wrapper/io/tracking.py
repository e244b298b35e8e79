"""Runs on Weights & Biases: one switch, the variable PARROT_WANDB, for all that is trained."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parrot_wrapper.errors import needed_extra

PROJECT_VARIABLE = "PARROT_WANDB"


def is_tracked() -> bool:
    """Whether runs are to be logged."""
    return bool(os.environ.get(PROJECT_VARIABLE))


@contextmanager
def tracked(folder: Path | None, settings: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Log what goes to tensorboard within the block, where the switch is on; yields wandb's run.

    The variable names the project. Workers of `parrot experiment` inherit it. A run that is
    continued in the same folder goes on there. `WANDB_MODE=offline` needs no network.

    Args:
        folder: The run's folder; nothing is logged where there is none.
        settings: What to keep with the run.
    """
    if folder is None or not is_tracked():
        yield None
        return
    with needed_extra("wandb", f"{PROJECT_VARIABLE} is set, and logging needs wandb"):
        import wandb
        from wandb.integration.tensorboard import unpatch
    place = str(folder.resolve())
    run = wandb.init(
        project=os.environ[PROJECT_VARIABLE],
        name=folder.name,
        id=hashlib.sha256(place.encode()).hexdigest()[:16],
        resume="allow",
        dir=place,
        config=dict(settings or {}),
        sync_tensorboard=True,
        settings=wandb.Settings(console="off", silent=True),
    )
    try:
        yield run
    finally:
        unpatch()
        run.finish()


def log_film(folder: Path, film: Path) -> None:
    """Add a GIF of held-out episodes to the run of this folder, where the switch is on."""
    with tracked(folder) as run:
        if run is not None:
            from wandb import Video

            run.log({"evaluation/film": Video(str(film), format="gif")})
