"""Where what runs need is made, and when it is done.

A learned part is made in `artifacts/making/NAME` and moved to `artifacts/NAME` when it is whole:
the folder itself is the mark. A data set is done when its own manifest says so, and may grow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from parrot_wrapper.checks import differences
from parrot_wrapper.data.storage import read_manifest
from parrot_wrapper.errors import DataFileError, InvalidArgumentError
from parrot_wrapper.experiments.needs import Artifact
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json

_RECIPE_FILE = "artifact.json"


def artifact_folder(artifact: Artifact, root: Path) -> Path:
    """Where an artifact is when it is done.

    Args:
        artifact: The artifact.
        root: Folder of the grid's artifacts.
    """
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
    """Whether an artifact is there in full.

    Raises:
        InvalidArgumentError: It is there, but was made in another way.
        DataFileError: It is damaged.
    """
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
