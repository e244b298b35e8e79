"""Other people's data sets in and out: Minari, robomimic, LeRobot and plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from parrot_wrapper.data.exchange.arrays import dataset_from_arrays, open_arrays
from parrot_wrapper.data.exchange.choosing import ImportOptions
from parrot_wrapper.data.exchange.lerobot import open_lerobot
from parrot_wrapper.data.exchange.lerobot_export import export_lerobot
from parrot_wrapper.data.exchange.minari import export_minari, open_minari
from parrot_wrapper.data.exchange.robomimic import open_robomimic
from parrot_wrapper.data.exchange.source import Choice, RawEpisode, Source
from parrot_wrapper.data.exchange.writing import ImportReport, write_source
from parrot_wrapper.errors import DataFileError, require_known

__all__ = [
    "FORMATS",
    "ImportOptions",
    "ImportReport",
    "dataset_from_arrays",
    "export_lerobot",
    "export_minari",
    "import_data",
]

FORMATS = ("minari", "robomimic", "lerobot", "arrays")
"""What `import_data` reads."""
_PICKLES = (".pkl", ".pickle", ".pt", ".pth")

Watch = Callable[[Iterable[RawEpisode], int | None], Iterable[RawEpisode]]
"""From episodes and their number, if known, to the same episodes; a progress bar, for instance."""


def import_data(
    form: str,
    source: str | Path,
    folder: str | Path,
    options: ImportOptions | None = None,
    *,
    watch: Watch | None = None,
) -> ImportReport:
    """Write someone else's data set as one of ours; it appears whole or not at all.

    Args:
        form: One of `FORMATS`.
        source: A file or folder; for "minari" also the id of a local data set.
        folder: Where to write; new or empty.
        options: What to take, and how.
        watch: Sees each episode as it is read.

    Raises:
        UnknownNameError: There is no such format, or no such part of the observations.
        DataFileError: The source is missing, broken, of another kind, reaches out of itself, or
            claims absurdly much; or `folder` is not empty.
        DataError: The source has nothing that can be used so; the message says what to do.
        MissingExtraError: A library for this format is not installed.

    Warns:
        UserWarning: Actions outside the box, or action dimensions that never change.
    """
    chosen = options or ImportOptions()
    found = _opened(form, source, chosen)
    if watch is not None:
        found = replace(found, read=_watched(found, watch, chosen))
    return write_source(found, folder, chosen)


def _opened(form: str, source: str | Path, options: ImportOptions) -> Source:
    require_known("format of data", [form], FORMATS)
    if Path(source).suffix in _PICKLES:
        raise DataFileError(
            f"{source}: expected data, got what looks like a pickle, which can run code and is "
            "never loaded. A replay buffer that Stable-Baselines3 saved is one: load it yourself "
            "where you trust it, and pass it to "
            "parrot_wrapper.rl.replay.episodes.dataset_from_replay_buffer."
        )
    if form == "minari":
        return open_minari(source)
    if form == "robomimic":
        return open_robomimic(source)
    if form == "lerobot":
        return open_lerobot(source, options.image_size)
    return open_arrays(source, options)


def _watched(
    source: Source, watch: Watch, options: ImportOptions
) -> Callable[[Choice], Iterator[RawEpisode]]:
    known = [count for count in (source.n_episodes, options.episodes) if count]
    return lambda choice: iter(watch(source.read(choice), min(known, default=None)))
