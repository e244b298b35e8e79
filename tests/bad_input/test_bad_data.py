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
        ("flat actions", lambda: dataset(actions=ACTIONS[:, 0]), r"\(5, A\).*got \(5,\)"),
        ("too few actions", lambda: dataset(actions=ACTIONS[:4]), r"got \(4, 2\)"),
        ("no action dims", lambda: dataset(actions=ACTIONS[:, :0]), r"got \(5, 0\)"),
        ("NaN actions", lambda: dataset(actions=nan(ACTIONS)), r"1 NaN.*\(1, 1\)"),
        ("actions beyond float32", lambda: dataset(actions=ACTIONS * 1e300), "infinite"),
        ("no observations", lambda: dataset({}), "at least one observation"),
        ("one state too few", lambda: dataset(STATES[:6]), "7 rows"),
        ("float images", lambda: dataset({"image": np.zeros((7, 4, 4, 3))}), "uint8"),
        ("flat images", lambda: dataset(np.zeros((7, 9), np.uint8)), r"\(rows, H, W, C\)"),
        ("no episodes", lambda: dataset(np.zeros((0, 4)), np.zeros((0, 2)), []), "lengths"),
        ("an empty episode", lambda: dataset(lengths=[5, 0]), "lengths.*minimum 0"),
        ("fractional lengths", lambda: dataset(lengths=[2.5, 2.5]), "integers"),
        ("text as lengths", lambda: dataset(lengths=["a"]), "lengths"),
        ("ragged lengths", lambda: dataset(lengths=[[1], [1, 2]]), "lengths"),
        ("too few successes", lambda: dataset(success=[True]), r"success of shape \(2,\)"),
        ("too few rewards", lambda: dataset(rewards=[0.0]), r"rewards of shape \(5,\), got \(1,\)"),
        ("endless states", lambda: dataset(np.full((7, 4), np.inf)), "finite observations"),
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
        ("labels of a wrong shape", lambda: episode(labels={"x": np.zeros((2, 2))}), "length 3"),
        ("endless labels", lambda: episode(labels={"x": np.full((3, 2), np.inf)}), "finite labels"),
        ("an episode of NaN", lambda: episode(actions=ACTIONS[:2] * np.nan), r"4 NaN.*\(0, 0\)"),
        ("flat actions in it", lambda: episode(actions=np.zeros(2)), r"shape \(T, A\)"),
        ("nothing to see", lambda: Episode({}, ACTIONS[:2], np.zeros(2), True, 0),
         "at least one observation"),
        ("an episode without end", lambda: episode(STATES[:2]), "length 3"),
        ("an episode without steps", lambda: episode(actions=ACTIONS[:0]), "T, A >= 1"),
        ("text as a seed", lambda: episode(seed="a"), "seed"),
        ("rewards of a wrong length", lambda: episode(rewards=[1.0]), r"\(2,\)"),
    ],
    InvalidArgumentError: [
        *((f"a batch of {n}", lambda n=n: dataset().sample_pairs(n, RNG), "even batch_size")
          for n in (0, 3, -2)),
        ("text as batch size", lambda: dataset().sample_pairs("4", RNG), "even"),
        ("a seed for a generator", lambda: dataset().sample_pairs(4, 0), "Generator"),
        ("no such episode", lambda: dataset().episode(2), r"0 \.\.\. 1, got 2"),
        ("an empty subset", lambda: dataset().subset([]), "got none"),
        ("text as a subset", lambda: dataset().subset(["a"]), "indices"),
        ("fractional indices", lambda: dataset().subset([0.5]), "indices"),
        ("an index too high", lambda: dataset().subset([2]), r"within 0 \.\.\. 1"),
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


def test_one_episode_is_data_like_any_other(tmp_path: Path) -> None:
    data = dataset(STATES[:4], ACTIONS[:3], [3])
    save_dataset(data, tmp_path)
    assert load_dataset(tmp_path).content_hash == data.content_hash
    assert len(data.sample_pairs(4, RNG)["action"]) == 4
