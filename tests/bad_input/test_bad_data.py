"""Data that cannot be used: a typed error, or what is documented in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parrot_wrapper.data import Episode, EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.errors import (
    DataError,
    DataFileError,
    InvalidArgumentError,
)
from tests.bad_input.mistakes import (
    ACTIONS,
    NOWHERE,
    RNG,
    STATES,
    Table,
    cases,
    check,
    dataset,
    episode,
    nan,
)


def images(height: int) -> Episode:
    image = np.zeros((3, height, 6, 3), np.uint8)
    return Episode({"image": image}, ACTIONS[:2], np.zeros(2), True, 0)


TABLE: Table = {
    DataError: [
        ("text as actions", lambda: dataset(actions=[["a", "b"]] * 5), "actions.*numbers"),
        ("None as actions", lambda: dataset(actions=None), "actions"),
        ("ragged actions", lambda: dataset(actions=[[1, 2], [3]]), "actions.*numbers"),
        ("a mapping as actions", lambda: dataset(actions={"a": 1}), "actions.*numbers"),
        ("complex actions", lambda: dataset(actions=ACTIONS * 1j), "actions.*numbers"),
        ("flat actions", lambda: dataset(actions=ACTIONS[:, 0]), r"\(5, A\).*got \(5,\)"),
        ("too few actions", lambda: dataset(actions=ACTIONS[:4]), r"got \(4, 2\)"),
        ("no action dims", lambda: dataset(actions=ACTIONS[:, :0]), r"got \(5, 0\)"),
        ("NaN actions", lambda: dataset(actions=nan(ACTIONS)), r"1 NaN.*\(1, 1\)"),
        ("actions beyond float32", lambda: dataset(actions=ACTIONS * 1e300), "infinite"),
        ("NaN states", lambda: dataset(nan(STATES)), "observations.*NaN"),
        ("text as states", lambda: dataset([["x"] * 4] * 7), "observations.*numbers"),
        ("ragged states", lambda: dataset([[1], [1, 2]]), "observations.*numbers"),
        ("no observations", lambda: dataset({}), "at least one observation"),
        ("one state too few", lambda: dataset(STATES[:6]), "7 rows"),
        ("scalar states", lambda: dataset(np.zeros(7)), r"got shape \(7,\)"),
        ("float images", lambda: dataset({"image": np.zeros((7, 4, 4, 3))}), "uint8"),
        ("flat images", lambda: dataset(np.zeros((7, 9), np.uint8)), r"\(rows, H, W, C\)"),
        ("no episodes", lambda: dataset(np.zeros((0, 4)), np.zeros((0, 2)), []), "lengths"),
        ("an empty episode", lambda: dataset(lengths=[5, 0]), "lengths.*minimum 0"),
        ("fractional lengths", lambda: dataset(lengths=[2.5, 2.5]), "integers"),
        ("text as lengths", lambda: dataset(lengths=["a"]), "lengths"),
        ("ragged lengths", lambda: dataset(lengths=[[1], [1, 2]]), "lengths"),
        ("text as rewards", lambda: dataset(rewards=["a"] * 5), "rewards.*numbers"),
        ("NaN rewards", lambda: dataset(rewards=[np.nan] * 5), "rewards"),
        ("too few seeds", lambda: dataset(seeds=[1]), "seeds"),
        ("text as seeds", lambda: dataset(seeds=["a", "b"]), "seeds"),
        ("labels of a wrong length", lambda: dataset(labels={"x": np.zeros((3, 1))}), "7 rows"),
        ("a list of labels", lambda: dataset(labels=[1, 2]), "labels.*mapping"),
        ("an empty box", lambda: dataset(action_low=1, action_high=1), "low < .*high"),
        ("NaN bounds", lambda: dataset(action_low=np.nan), "low < .*high"),
        ("bounds of three dims", lambda: dataset(action_low=[-1] * 3), "fit 2 action"),
        ("text as bounds", lambda: dataset(action_low="low"), "bounds"),
        ("an array as episodes", lambda: EpisodeDataset.from_episodes(ACTIONS), "Episode"),
        ("no Episode objects", lambda: EpisodeDataset.from_episodes([]), "at least one"),
        ("mixed image sizes", lambda: EpisodeDataset.from_episodes([images(6), images(8)]),
         r"episode 1 has .*\(8, 6, 3\)"),
        ("text in an episode", lambda: episode(actions=[["a", "b"]] * 2), "actions.*numbers"),
        ("an episode with NaN", lambda: episode(nan(STATES[:3])), "NaN"),
        ("an episode without end", lambda: episode(STATES[:2]), "length 3"),
        ("an episode without steps", lambda: episode(actions=ACTIONS[:0]), "T, A >= 1"),
        ("text as a seed", lambda: episode(seed="a"), "seed"),
        ("rewards of a wrong length", lambda: episode(rewards=[1.0]), r"\(2,\)"),
    ],
    InvalidArgumentError: [
        ("an odd batch", lambda: dataset().sample_pairs(3, RNG), "even"),
        ("text as batch size", lambda: dataset().sample_pairs("4", RNG), "even"),
        ("a seed for a generator", lambda: dataset().sample_pairs(4, 0), "Generator"),
        ("no such episode", lambda: dataset().episode(2), r"0 \.\.\. 1, got 2"),
        ("an empty subset", lambda: dataset().subset([]), "got none"),
        ("text as a subset", lambda: dataset().subset(["a"]), "indices"),
        ("fractional indices", lambda: dataset().subset([0.5]), "indices"),
        ("a negative index", lambda: dataset().subset([-1]), "got -1"),
        ("half of one episode", lambda: dataset(STATES[:4], ACTIONS[:3], [3]).split(0.5, RNG),
         "at least 2 episodes"),
        ("all held out", lambda: dataset().split(1.0, RNG), "1.0"),
        ("text as a share", lambda: dataset().split("half", RNG), "half"),
        ("None as a folder", lambda: load_dataset(None), "folder.*None"),
        ("an array as a data set", lambda: save_dataset(ACTIONS, NOWHERE), "EpisodeDataset"),
        ("no episodes per shard", lambda: save_dataset(dataset(), NOWHERE, episodes_per_shard=0),
         "episodes_per_shard"),
    ],
    DataFileError: [
        ("no data set there", lambda: load_dataset(NOWHERE), "dataset.json, found none"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), cases(TABLE))
def test_mistakes(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    check(call, error, message)


def test_constant_actions_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"dimensions \[0, 1\] never change"):
        assert dataset(actions=np.zeros((5, 2))).n_episodes == 2


def test_actions_outside_their_box_are_warned_of_and_kept() -> None:
    with pytest.warns(UserWarning, match=r"leave the box .*\{0: 0.2"):
        assert dataset(actions=ACTIONS * 1.2).actions.min() == np.float32(-1.2)


def test_one_episode_is_data_like_any_other(tmp_path: Path) -> None:
    data = dataset(STATES[:4], ACTIONS[:3], [3])
    save_dataset(data, tmp_path)
    assert load_dataset(tmp_path).content_hash == data.content_hash
    assert len(data.sample_pairs(4, RNG)["action"]) == 4
