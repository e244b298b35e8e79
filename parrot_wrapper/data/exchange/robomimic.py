"""robomimic's HDF5 layout, which robosuite, MimicGen and LIBERO write too.

    data                 attributes: env_args (JSON), total
    data/demo_0          attribute: num_samples
      actions (T, A), rewards (T,), dones (T,), obs/NAME (T, ...), next_obs/NAME (T, ...)

https://robomimic.github.io/docs/datasets/overview.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from parrot_wrapper.checks import as_path
from parrot_wrapper.data.exchange.guarded_files import (
    array_of,
    arrays_below,
    open_guarded,
    require_self_contained,
)
from parrot_wrapper.data.exchange.source import (
    Choice,
    Part,
    RawEpisode,
    Source,
    last_success,
    parts_of,
)
from parrot_wrapper.errors import DataError, DataFileError, absence
from parrot_wrapper.types import AnyArray

_SUCCESS_REWARD = 0.0  # robosuite's sparse reward is 1 in states that solve the task, else 0


def open_robomimic(path: str | Path) -> Source:
    """A robomimic file, ready to be read.

    An episode has succeeded if the last value of its success says so, or else if its last reward
    is positive; nothing is known without either. The box of actions is -1 ... 1, as in robosuite,
    if all actions lie in it. Fields are named as in a demonstration's group, parts of observations
    as in its group obs.
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
        fields: dict[str, Part] = {}
        for name in names:  # some demonstrations may lack rewards
            fields |= parts_of(arrays_below(file[f"data/{name}"], skip=("obs", "next_obs")))
        settings = _env_settings(file)
    return Source(
        str(file_path),
        parts,
        fields,
        len(names),
        lambda choice: _read(file_path, names, choice),
        unit_box=True,
        settings=settings,
    )


def _demos(file: h5py.File) -> list[str]:
    data = file.get("data")
    if not isinstance(data, h5py.Group):
        raise DataFileError(
            f"{file.filename}: expected a group 'data' as robomimic writes it, got "
            f"{', '.join(file) or 'an empty file'}. The format arrays reads files of flat arrays."
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
    return parts_of(arrays_below(observations))


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


def _read(path: Path, names: list[str], choice: Choice) -> Iterator[RawEpisode]:
    for name in names:
        # opened anew for each, so that no error of the consumer passes for one of this file
        with open_guarded(path) as file:
            episode = _episode(file, name, choice)
        yield episode


def _episode(file: h5py.File, name: str, choice: Choice) -> RawEpisode:
    group = file[f"data/{name}"]
    if not isinstance(group.get("obs"), h5py.Group):
        raise DataFileError(f"{file.filename}: expected data/{name}/obs, found none.")
    observations: dict[str, AnyArray] = {}
    for key in choice.keys:
        rows = array_of(group["obs"], key)
        following = group.get("next_obs")
        if isinstance(following, h5py.Group) and key in following:
            rows = np.concatenate([rows, array_of(following, key)[-1:]])
        observations[key] = rows
    rewards, success = (
        array_of(group, key) if key and key in group else None
        for key in (choice.reward, choice.success)
    )
    succeeded = last_success(success)
    if succeeded is None and rewards is not None and rewards.ndim == 1 and len(rewards):
        succeeded = bool(rewards[-1] > _SUCCESS_REWARD)
    return RawEpisode(
        f"{file.filename}: data/{name}",
        observations,
        array_of(group, choice.action),
        rewards,
        succeeded,
    )
