"""Minari data sets in, by Minari's own reader after a look at what it would open, and out.

Images stay as they are on the way out: no JPEG.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.exchange.guarded_files import (
    foreign_errors,
    inside,
    open_guarded,
    read_json_file,
    require_self_contained,
)
from parrot_wrapper.data.exchange.source import (
    Choice,
    RawEpisode,
    Source,
    last_success,
    parts_of,
)
from parrot_wrapper.errors import DataError, DataFileError, InvalidArgumentError, needed_extra
from parrot_wrapper.types import AnyArray, FloatArray, flat_parts

METADATA_KEY = "parrot_wrapper"
LABELS_KEY = "labels"
SUCCESS_KEY = "is_success"
_ROOT_VARIABLE = "MINARI_DATASETS_PATH"
_ID = re.compile(r"([\w-]{2,}/)*[\w-]+-v\d+")


def minari_module() -> Any:
    """The `minari` module, or `MissingExtraError`."""
    with needed_extra("minari", "Minari data sets need Minari (Python 3.11 or newer)"):
        import minari
    return minari


def open_minari(source: str | Path) -> Source:
    """A Minari data set, ready to be read; nothing is downloaded and no env is made.

    Fields are its actions, rewards, and the infos, of which one may tell success.

    Args:
        source: Its id in Minari's local folder, or its folder.
    """
    minari = minari_module()
    folder = _folder(str(source))
    metadata = read_json_file(inside(folder, "metadata.json"))
    _check_metadata(folder, metadata)
    if metadata.get("data_format") == "hdf5":
        main = inside(folder, "main_data.hdf5")
        with open_guarded(main) as file:
            require_self_contained(file)
    with foreign_errors(folder, "a Minari data set"):
        storage = minari.MinariDataset(folder).storage
        count = int(storage.total_episodes)
        box = _box(storage.action_space)
        if count < 1:
            raise DataError(f"{folder}: expected at least one episode, got none.")
        observations, fields = _arrays(next(iter(storage.get_episodes([0]))))
    told = _mapping(metadata, METADATA_KEY)
    return Source(
        str(source),
        parts_of(observations),
        parts_of(fields),
        count,
        functools.partial(_read, folder, storage, count),
        action_box=box,
        takes_all=bool(told),  # we wrote it
        settings=_mapping(told, "settings"),
        facts=_mapping(told, "facts") or {"minari": _card(metadata)},
    )


def _folder(source: str) -> Path:
    for folder in (as_path("source", source), as_path("source", source) / "data"):
        if (folder / "metadata.json").is_file():
            return folder
    from minari.storage.datasets_root_dir import get_dataset_path

    with foreign_errors(Path(source), "a folder of Minari, or the id of a local data set"):
        folder = Path(get_dataset_path("")) / source / "data"
    if not (folder / "metadata.json").is_file():
        raise DataFileError(
            f"Expected a Minari data set, found none at {source!r} and none at {folder}. Get it "
            f"with `minari download {source}` if it is a published one."
        )
    return folder


def _check_metadata(folder: Path, metadata: object) -> None:
    if not isinstance(metadata, dict):
        raise DataFileError(f"{folder / 'metadata.json'}: expected an object, got {metadata!r:.60}")
    for name in ("observation_space", "action_space"):
        # without them Minari would make the env that the file names, which is to run its code
        if not isinstance(metadata.get(name), str):
            raise DataFileError(
                f"{folder / 'metadata.json'}: expected its {name}, got none. Save the data set "
                "anew with Minari 0.5 or later."
            )


def _box(space: Any) -> tuple[FloatArray, FloatArray] | None:
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None or len(space.shape) not in (1, 2):
        raise DataError(f"Expected actions of a Box with one axis or two, got {space}.")
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    return low.reshape(-1).astype(np.float32), high.reshape(-1).astype(np.float32)


def _read(folder: Path, storage: Any, count: int, choice: Choice) -> Iterator[RawEpisode]:
    for index in range(count):
        with foreign_errors(folder, "a Minari data set"):
            (stored,) = storage.get_episodes([index])
            (facts,) = storage.get_episode_metadata([index])
            observations, fields = _arrays(stored)
            labels = _mapping(stored["infos"] or {}, LABELS_KEY)
            episode = RawEpisode(
                f"{folder}: episode {index}",
                {key: observations[key] for key in choice.keys if key in observations},
                fields[choice.action],
                fields.get(choice.reward or ""),
                last_success(fields.get(choice.success or "")),
                _seed(facts.get("seed")),
                {k: np.asarray(part) for k, part in labels.items()},
            )
        yield episode


def _arrays(stored: Any) -> tuple[dict[str, AnyArray], dict[str, AnyArray]]:
    """Parts of the observations of an episode, and its other arrays."""
    fields: dict[str, AnyArray] = {}
    for name, info in (stored["infos"] or {}).items():
        with contextlib.suppress(ValueError):  # ragged: nothing that could be taken
            fields |= {} if name == LABELS_KEY else _flat({name: info})
    fields |= {name: np.asarray(stored[name]) for name in ("actions", "rewards")}
    return _flat(stored["observations"]), fields


def _flat(observations: Any) -> dict[str, AnyArray]:
    """Parts of nested Dict and Tuple observations, named outer/inner."""
    if not isinstance(observations, Mapping | tuple):
        array = np.asarray(observations)
        alone = "image" if array.dtype == np.uint8 and array.ndim == 4 else "state"
        return {alone: array}
    return {name: np.asarray(part) for name, part in flat_parts(observations).items()}


def _seed(told: Any) -> int:
    return int(told) if isinstance(told, int | np.integer) and 0 <= told < 2**63 else -1


def _mapping(outer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = outer.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _card(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the data set says of itself, as far as it is short."""
    names = ("dataset_id", "algorithm_name", "code_permalink", "minari_version", "jpeg_encoding")
    card = {name: metadata[name] for name in names if name in metadata}
    env = metadata.get("env_spec")
    if isinstance(env, str):
        with contextlib.suppress(ValueError, AttributeError):
            card["env_id"] = json.loads(env).get("id")
    return card


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
            [_buffer(index, dataset.episode(index)) for index in range(dataset.n_episodes)],
            action_space=_space(_box_of(*dataset.action_bounds)),
            observation_space=_space(_described(_plain(dataset.observations))),
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


def _described(part: Any) -> dict[str, Any]:
    """A space as Minari writes it down."""
    if isinstance(part, dict):
        return {"type": "Dict", "subspaces": {name: _described(p) for name, p in part.items()}}
    low, high = (0, 255) if part.dtype == np.uint8 else (-np.inf, np.inf)
    return _box_of(*(np.full(part.shape[1:], edge, part.dtype) for edge in (low, high)))


def _box_of(low: AnyArray, high: AnyArray) -> dict[str, Any]:
    edges = {"low": low.tolist(), "high": high.tolist()}
    return {"type": "Box", "dtype": str(low.dtype), "shape": list(low.shape), **edges}


def _space(description: dict[str, Any]) -> Any:
    from minari.serialization import deserialize_space

    return deserialize_space(json.dumps(description))
