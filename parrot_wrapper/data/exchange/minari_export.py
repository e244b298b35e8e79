"""Our data sets as Minari ones, without loss: images stay as they are, no JPEG."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.exchange.minari_import import (
    LABELS_KEY,
    METADATA_KEY,
    SUCCESS_KEY,
    minari_module,
)
from parrot_wrapper.errors import DataFileError, InvalidArgumentError
from parrot_wrapper.types import AnyArray

_ID = re.compile(r"([\w-]{2,}/)*[\w-]+-v\d+")
_ROOT_VARIABLE = "MINARI_DATASETS_PATH"


def export_minari(
    dataset: EpisodeDataset,
    dataset_id: str,
    *,
    author: str = "",
    author_email: str = "",
    algorithm_name: str = "",
    code_permalink: str = "",
    description: str = "",
) -> Path:
    """Write a data set into Minari's local folder; it appears there whole or not at all.

    Observations become a Dict of Boxes (an image or state alone a Box), success stands in
    `infos["is_success"]`, labels in `infos["labels"]`, and the last step is a truncation: our data
    do not say whether an episode ended by itself. `import_data("minari", ...)` brings everything
    back bit for bit.

    Args:
        dataset: What to write.
        dataset_id: NAME-v0, or SPACE/NAME-v0 and so on.
        author: Stands in Minari's metadata, as all that follows.
        author_email: How to reach them.
        algorithm_name: What the actions came from.
        code_permalink: The code behind it.
        description: Of the data set.

    Returns:
        The folder.

    Raises:
        InvalidArgumentError: Minari would not take the id.
        DataFileError: There is a data set of this id.
        MissingExtraError: Minari is not installed.
    """
    if not _ID.fullmatch(dataset_id):
        raise InvalidArgumentError(
            f"Expected a Minari id such as parrot/multitask-v0, got {dataset_id!r}."
        )
    minari = minari_module()
    from minari.storage.datasets_root_dir import get_dataset_path

    root = Path(get_dataset_path(""))
    target = root / dataset_id
    if target.exists():
        raise DataFileError(f"{target}: expected no data set of this id yet. Choose another one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    card = {
        "author": author,
        "author_email": author_email,
        "algorithm_name": algorithm_name,
        "code_permalink": code_permalink,
        "description": description,
    }
    with _workplace(root) as work, warnings.catch_warnings():
        # one for each line of its card that stays empty
        warnings.filterwarnings("ignore", category=UserWarning, module="minari")
        written = minari.create_dataset_from_buffers(
            dataset_id,
            list(_buffers(dataset)),
            action_space=_action_space(dataset),
            observation_space=_observation_space(dataset),
            jpeg_encoding=False,
            **{key: value or None for key, value in card.items()},
        )
        facts = {key: value for key, value in dataset.metadata.items() if key != "settings"}
        ours = {"settings": dataset.metadata.get("settings", {}), "facts": facts}
        written.storage.update_metadata({METADATA_KEY: ours})
        os.replace(work / dataset_id, target)
    namespace = dataset_id.rpartition("/")[0]
    if namespace and namespace not in minari.namespace.list_local_namespaces():
        minari.namespace.create_namespace(namespace)
    return target


@contextmanager
def _workplace(root: Path) -> Iterator[Path]:
    """A hidden folder beside Minari's data sets, where Minari writes for the moment."""
    before = os.environ.get(_ROOT_VARIABLE)
    work = Path(tempfile.mkdtemp(dir=root, prefix=".parrot-export."))
    os.environ[_ROOT_VARIABLE] = str(work)
    try:
        yield work
    finally:
        if before is None:
            del os.environ[_ROOT_VARIABLE]
        else:
            os.environ[_ROOT_VARIABLE] = before
        shutil.rmtree(work, ignore_errors=True)


def _buffers(dataset: EpisodeDataset) -> Iterator[Any]:
    for index in range(dataset.n_episodes):
        yield _buffer(index, dataset.episode(index))


def _buffer(index: int, episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    steps = episode.n_steps
    at_the_end = np.zeros(steps, bool)
    at_the_end[-1] = True
    success = np.zeros(steps + 1, bool)
    success[-1] = episode.success
    infos: dict[str, Any] = {SUCCESS_KEY: success}
    if episode.labels:
        infos[LABELS_KEY] = dict(episode.labels)
    return EpisodeBuffer(
        id=index,
        seed=None if episode.seed < 0 else episode.seed,
        observations=_plain(dict(episode.observations)),
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=np.zeros(steps, bool),
        truncations=at_the_end,
        infos=infos,
    )


def _plain(parts: dict[str, Any]) -> Any:
    """A Dict of parts, or the one part by itself if it is known by its kind."""
    return next(iter(parts.values())) if set(parts) in ({"image"}, {"state"}) else parts


def _observation_space(dataset: EpisodeDataset) -> Any:
    return _space(_described(_plain(dataset.observations)))


def _action_space(dataset: EpisodeDataset) -> Any:
    low, high = dataset.action_bounds
    edges = {"low": low.tolist(), "high": high.tolist()}
    return _space({"type": "Box", "dtype": "float32", "shape": list(low.shape), **edges})


def _described(part: Any) -> dict[str, Any]:
    """A space as Minari writes it down."""
    if isinstance(part, dict):
        return {"type": "Dict", "subspaces": {name: _described(p) for name, p in part.items()}}
    array: AnyArray = part
    low, high = (0, 255) if array.dtype == np.uint8 else (-np.inf, np.inf)
    shape = array.shape[1:]
    edges = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": str(array.dtype), "shape": list(shape), **edges}


def _space(description: dict[str, Any]) -> Any:
    from minari.serialization import deserialize_space

    return deserialize_space(json.dumps(description))
