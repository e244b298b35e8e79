"""robomimic's HDF5 layout, which robosuite, MimicGen and LIBERO write too.

    data                 attributes: env_args (JSON), total
    data/demo_0          attribute: num_samples
      actions (T, A), rewards (T,), dones (T,), obs/NAME (T, ...), next_obs/NAME (T, ...)

https://robomimic.github.io/docs/datasets/overview.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from parrot_wrapper.argument_checks import as_path
from parrot_wrapper.data.exchange.guarded_hdf5 import (
    array_of,
    open_guarded,
    require_self_contained,
)
from parrot_wrapper.data.exchange.source import Part, RawEpisode, Source
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.names import absence
from parrot_wrapper.types import AnyArray

_SUCCESS_REWARD = 0.0  # robosuite's sparse reward is 1 in states that solve the task, else 0


def open_robomimic(path: str | Path) -> Source:
    """A robomimic file, ready to be read.

    An episode has succeeded if its last reward is positive; nothing is known without rewards. The
    box of actions is -1 ... 1, as in robosuite, if all actions lie in it.

    Raises:
        DataFileError: It is no such file, is broken, or reaches out of itself.
        DataError: It has no episodes.
    """
    file_path = as_path("path", path)
    if not file_path.is_file():
        raise DataFileError(
            f"{file_path}: expected a robomimic HDF5 file, found none.{absence(file_path)}"
        )
    with open_guarded(file_path) as file:
        require_self_contained(file)
        names = _demos(file)
        if not names:
            raise DataError(f"{file_path}: expected groups data/demo_0, ..., found none.")
        parts = _parts(file, names[0])
        box = _unit_box(file, names)
        settings = _env_settings(file)
    return Source(
        str(file_path),
        parts,
        len(names),
        lambda keys: _read(file_path, names, keys),
        action_box=box,
        settings=settings,
    )


def _demos(file: h5py.File) -> list[str]:
    data = file.get("data")
    if not isinstance(data, h5py.Group):
        raise DataFileError(
            f"{file.filename}: expected a group 'data' as robomimic writes it, got "
            f"{', '.join(file) or 'an empty file'}."
        )
    names = [name for name in data if isinstance(data[name], h5py.Group)]
    return sorted(names, key=_number)


def _number(name: str) -> tuple[int, str]:
    """demo_10 comes after demo_9."""
    digits = re.search(r"(\d{1,15})$", name)
    return (int(digits[1]) if digits else -1, name)


def _parts(file: h5py.File, name: str) -> dict[str, Part]:
    observations = file[f"data/{name}"].get("obs")
    if not isinstance(observations, h5py.Group):
        raise DataError(
            f"{file.filename}: data/{name} has no observations (obs). This is robomimic's raw "
            "form; extract them first with its dataset_states_to_obs.py."
        )
    return {
        key: Part(item.shape[1:], item.dtype)
        for key, item in observations.items()
        if isinstance(item, h5py.Dataset) and item.shape
    }


def _unit_box(file: h5py.File, names: list[str]) -> tuple[Any, Any] | None:
    actions = [array_of(file[f"data/{name}"], "actions") for name in names]
    if any(array.ndim != 2 or not array.size for array in actions):
        return None  # refused by name when the episode is read
    if any(np.abs(array).max() > 1.0 for array in actions):
        return None
    edge = np.ones(actions[0].shape[1], np.float32)
    return -edge, edge


def _env_settings(file: h5py.File) -> dict[str, Any]:
    """Env id and arguments, for whoever looks at the data set later."""
    text = file["data"].attrs.get("env_args")
    if not isinstance(text, str):
        return {}
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {"env_id": told.get("env_name"), "env_kwargs": told.get("env_kwargs")}


def _read(path: Path, names: list[str], keys: Sequence[str]) -> Iterator[RawEpisode]:
    for name in names:
        # opened anew for each, so that no error of the consumer passes for one of this file
        with open_guarded(path) as file:
            episode = _episode(file, name, keys)
        yield episode


def _episode(file: h5py.File, name: str, keys: Sequence[str]) -> RawEpisode:
    group = file[f"data/{name}"]
    if not isinstance(group.get("obs"), h5py.Group):
        raise DataFileError(f"{file.filename}: expected data/{name}/obs, found none.")
    observations: dict[str, AnyArray] = {}
    for key in keys:
        rows = array_of(group["obs"], key)
        following = group.get("next_obs")
        if isinstance(following, h5py.Group) and key in following:
            rows = np.concatenate([rows, array_of(following, key)[-1:]])
        observations[key] = rows
    rewards = array_of(group, "rewards") if "rewards" in group else None
    known = rewards is not None and rewards.ndim == 1 and len(rewards)
    return RawEpisode(
        f"{file.filename}: data/{name}",
        observations,
        array_of(group, "actions"),
        rewards,
        success=bool(rewards[-1] > _SUCCESS_REWARD) if known and rewards is not None else None,
    )
