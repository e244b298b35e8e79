"""What the runs of a grid are made from, data and what is learned from them, and where it is.

A learned part is made in `artifacts/making/NAME` and moved to `artifacts/NAME` when it is whole:
the folder itself is the mark. A data set is done when its own manifest says so, and may grow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from parrot_wrapper.checks import check_fields, differences, require_count
from parrot_wrapper.errors import DataFileError, InvalidArgumentError
from parrot_wrapper.experiments import grid_checks as checks
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json

_RECIPE_FILE = "artifact.json"
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
        check_fields(self)
        require_count("data.episodes", self.episodes)
        if self.name:
            checks.require_name("data.name", self.name)
        if self.collect is not None:
            checks.require_options("data.collect", self.collect)
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
        >>> part_name("cvae", PriorData(5_000, name="5k", folder="datasets/multitask"), 1)
        'cvae-5k-p1'
    """
    return "-".join(filter(None, [kind, data.name, f"p{seed}"]))


def part_kind(part: str, options: Mapping[str, Mapping[str, Any]]) -> str:
    """The kind of prior that a part is: what its options call "kind", else the part's own name.

    Example:
        >>> part_kind("chunk-5", {"chunk-5": {"kind": "chunk", "horizon": 5}})
        'chunk'
    """
    return str(options.get(part, {}).get("kind", part))


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

            for part in parts:
                kind = part_kind(part, baseline_options)
                own = {k: v for k, v in baseline_options.get(part, {}).items() if k != "kind"}
                shares = shared_encoder and prior_kind(kind).shares_encoder
                yield Artifact(
                    part_name(part, entry, seed),
                    kind,
                    own,
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


def artifact_folder(artifact: Artifact, root: Path) -> Path:
    """Where an artifact is when it is done."""
    return Path(artifact.folder).expanduser() if artifact.folder else root / artifact.name


def place_of(name: str, made: Mapping[str, Artifact], root: Path) -> str:
    """What those who need something are told of it: a folder or a packaged name.

    Args:
        name: An artifact, a packaged prior or a folder.
        made: The grid's artifacts by name.
        root: Folder of the grid's artifacts.
    """
    if name not in made:
        return name
    folder = artifact_folder(made[name], root)
    return str(folder / "prior" if made[name].kind == "prior" else folder)


def is_made(artifact: Artifact, root: Path) -> bool:
    """Whether an artifact is there in full."""
    folder = artifact_folder(artifact, root)
    if artifact.kind == "data":
        return _is_collected(folder, artifact.episodes)
    if not folder.is_dir():
        return False
    _require_recipe(folder, artifact)
    return True


def making_folder(artifact: Artifact, root: Path) -> Path:
    """Where a learned part is while it is made."""
    return root / "making" / artifact.name


def working_folder(artifact: Artifact, root: Path) -> Path:
    """The one folder that is written to while an artifact is made."""
    collects = artifact.kind == "data"
    return artifact_folder(artifact, root) if collects else making_folder(artifact, root)


def begin(artifact: Artifact, root: Path) -> None:
    """Prepare the folder that a learned part is made in; go on with one that is there.

    Raises:
        InvalidArgumentError: Something that is made in another way was begun there.
    """
    if artifact.kind == "data":
        return
    folder = making_folder(artifact, root)
    if (folder / _RECIPE_FILE).is_file():
        _require_recipe(folder, artifact)
    write_json(folder / _RECIPE_FILE, asdict(artifact))


def finish(artifact: Artifact, root: Path) -> None:
    """Move a learned part to where it is looked for."""
    if artifact.kind != "data":
        os.replace(making_folder(artifact, root), artifact_folder(artifact, root))


def _is_collected(folder: Path, episodes: int) -> bool:
    if not (folder / "dataset.json").exists():
        return False
    from parrot_wrapper.data.storage import read_manifest  # brings h5py

    manifest = read_manifest(folder)
    return manifest.n_episodes >= episodes and "counts" in manifest.facts


def _require_recipe(folder: Path, artifact: Artifact) -> None:
    path = folder / _RECIPE_FILE
    try:
        there = parse_json(path.read_bytes())
        given = json.loads(json.dumps(asdict(artifact)))
        different = differences({key: there.get(key) for key in given}, given)
    except (OSError, ValueError, AttributeError) as error:
        raise DataFileError(f"{path}: expected how this was made ({error}).") from error
    if different:
        raise InvalidArgumentError(
            f"{folder} was made in another way ({different}). Remove it, or choose "
            "another folder of runs."
        )
