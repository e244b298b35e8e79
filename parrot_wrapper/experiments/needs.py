"""What the runs of a grid are made from: demonstrations, and what is learned from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parrot_wrapper.checks import require_count
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.experiments import grid_checks as checks

OWN_ENCODER = "none"
"""What an artifact says that shares none."""


@dataclass(frozen=True)
class PriorData:
    """Demonstrations that priors and baselines are learned from.

    Attributes:
        episodes: How many; of a larger data set the first so many.
        name: Part of the ids of its runs; empty where a grid has one only.
        folder: A data set; empty for one among the grid's artifacts. Data of one folder are parts
            of the same.
        collect: Options of `parrot collect` by name, with which episodes that are missing there
            are collected; None if the folder has to be there.
        labels: Free facts that the rows of its runs carry, text to text.

    Raises:
        InvalidArgumentError: A value of the wrong type or outside its range.

    Example:
        >>> PriorData(5_000, name="5k", collect={"env_id": "ParrotMultiTask-v0"}).episodes
        5000
    """

    episodes: int
    name: str = ""
    folder: str = ""
    collect: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_count("data.episodes", self.episodes)
        checks.require_name("data.name", self.name, empty=True)
        checks.require_text("data.folder", self.folder)
        if self.collect is not None:
            checks.require_options("data.collect", self.collect)
        checks.require_labels("data.labels", self.labels)
        if not self.folder and self.collect is None:
            raise InvalidArgumentError(
                "Expected a folder of data or how to collect them, got neither."
            )


@dataclass(frozen=True)
class Artifact:
    """Something that runs need and that is made once: a data set or a learned part.

    Attributes:
        name: Its folder below the grid's artifacts.
        kind: "data", "prior" (the flow), "flow" (the same on a shared encoder), or a kind of
            prior by a name that `parrot train-prior --kind` knows.
        options: Options of its command by name.
        episodes: Episodes to collect, or to learn from.
        seed: Seed of what is learned.
        data: What it is learned from: an artifact or a folder; empty for data.
        encoder: Whose frozen features it sees: an artifact, a packaged prior or a folder; "none"
            for an encoder of its own.
        folder: Where it is instead of among the grid's artifacts; empty for there.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    episodes: int
    seed: int = 0
    data: str = ""
    encoder: str = OWN_ENCODER
    folder: str = ""


def part_name(kind: str, data: PriorData, seed: int) -> str:
    """Name of a learned part's artifact.

    Example:
        >>> part_name("hirl", PriorData(5_000, name="5k", folder="datasets/multitask"), 1)
        'hirl-5k-p1'
    """
    return "-".join(filter(None, [kind, data.name, f"p{seed}"]))


def all_artifacts(
    data: Sequence[PriorData],
    seeds: Sequence[int],
    parts: Collection[str],
    *,
    prior: str,
    prior_encoder: str = "",
    prior_options: Mapping[str, Any],
    baseline_options: Mapping[str, Mapping[str, Any]],
    shared_encoder: bool,
) -> Iterator[Artifact]:
    """Data, flow priors and the other `parts` of a grid with these fields; see `Grid` for them."""
    yield from (_collection(entry, data) for entry in data if entry.collect is not None)
    from parrot_wrapper.priors.trainable import prior_kind  # brings torch

    for seed in seeds:
        for entry in data:
            source = _data_name(entry, data)
            flow = prior or part_name("prior", entry, seed)
            if not prior:
                kind, encoder = ("flow", prior_encoder) if prior_encoder else ("prior", OWN_ENCODER)
                yield Artifact(flow, kind, prior_options, entry.episodes, seed, source, encoder)

            for kind in parts:
                shares = shared_encoder and prior_kind(kind).shares_encoder
                yield Artifact(
                    part_name(kind, entry, seed),
                    kind,
                    baseline_options.get(kind, {}),
                    entry.episodes,
                    seed,
                    source,
                    flow if shares else OWN_ENCODER,
                )


def need_name(kind: str, data: PriorData, seed: int, every: Sequence[PriorData]) -> str:
    """Name of a learned part's artifact; for "data" the artifact or folder with the episodes.

    Args:
        kind: A kind of learned part, or "data".
        data: What it is learned from.
        seed: Seed of what is learned.
        every: All data of the grid.
    """
    return _data_name(data, every) if kind == "data" else part_name(kind, data, seed)


def _data_name(data: PriorData, every: Sequence[PriorData]) -> str:
    return data.folder if data.collect is None else _collection(data, every).name


def _collection(entry: PriorData, data: Sequence[PriorData]) -> Artifact:
    """The collection that `entry` is the first episodes of."""
    assert entry.collect is not None
    place = (entry.folder, entry.collect)
    sharing = [other for other in data if (other.folder, other.collect) == place]
    name = "-".join(filter(None, ["data", sharing[0].name]))
    episodes = max(other.episodes for other in sharing)
    return Artifact(name, "data", entry.collect, episodes, folder=entry.folder)
