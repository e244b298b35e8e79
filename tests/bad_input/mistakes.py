"""What the tables of mistakes share: how to read one, and small whole things to spoil."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec
from parrot_wrapper.data import Episode, EpisodeDataset

Table = dict[type[Exception], list[tuple[str, Callable[[], Any], str]]]
"""Error to mistakes: what was done, the call, and what the message has to say."""

STATE = ObservationSpec(state=4)
STATES, ACTIONS = np.zeros((7, 4), np.float32), np.linspace(-1, 1, 10).reshape(5, 2)
NOWHERE = Path("no") / "such" / "folder"
RNG = np.random.default_rng(0)


def cases(table: Table) -> list[Any]:
    """The rows of a table as parameters: call, error, message."""
    return [
        pytest.param(call, error, message, id=what)
        for error, rows in table.items()
        for what, call, message in rows
    ]


def check(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """The call raises this error with such a message, and leaves nothing behind."""
    with pytest.raises(error, match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of odd actions, on the way to the error
        call()
    assert NOWHERE.parts[0] not in [path.name for path in Path().iterdir()]


def prior(**options: Any) -> FlowPrior:
    return FlowPrior(FlowPriorConfig(STATE, 2, "state", hidden=8, **options))


def dataset(
    states: Any = STATES, actions: Any = ACTIONS, lengths: Any = (2, 3), **more: Any
) -> EpisodeDataset:
    return EpisodeDataset.from_arrays(states, actions, lengths, **more)


def episode(states: Any = STATES[:3], actions: Any = ACTIONS[:2], **more: Any) -> Episode:
    rest = {"rewards": np.zeros(2), "success": True, "seed": 0, **more}
    return Episode({"state": states}, actions, **rest)


def nan(array: Any) -> Any:
    changed = np.array(array, np.float32)
    changed.reshape(-1)[3] = np.nan
    return changed
