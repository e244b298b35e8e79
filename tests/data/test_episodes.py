"""An episode cannot hold arrays that disagree."""

from dataclasses import replace

import numpy as np
import pytest

from parrot_wrapper.data import Episode
from parrot_wrapper.errors import DataError


def make(**changes) -> Episode:
    fields = {
        "observations": {"image": np.zeros((4, 6, 5, 3), np.uint8), "proprio": np.ones((4, 2))},
        "actions": np.full((3, 2), 0.5),
        "rewards": np.zeros(3),
        "success": np.bool_(True),
        "seed": np.int64(5),
        "labels": {"goal": np.ones((4, 2))},
    }
    return Episode(**{**fields, **changes})


def test_fields_are_converted() -> None:
    episode = make()
    assert episode.n_steps == 3
    assert episode.actions.dtype == episode.rewards.dtype == np.float32
    assert episode.observations["image"].dtype == np.uint8
    assert episode.observations["proprio"].dtype == episode.labels["goal"].dtype == np.float32
    assert type(episode.success) is bool
    assert type(episode.seed) is int
    assert "image: (4, 6, 5, 3)" in repr(episode)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": np.zeros((0, 2)), "rewards": np.zeros(0)}, r"T, A >= 1, got \(0, 2\)"),
        ({"actions": np.zeros(3)}, r"shape \(T, A\)"),
        ({"observations": {}}, "at least one observation"),
        ({"observations": np.zeros((3, 6, 5, 3), np.uint8)}, r"length 4 .* 3 actions.*\(3, 6"),
        ({"rewards": np.zeros(4)}, r"\(3,\).*\(4,\)"),
        ({"labels": {"goal": np.zeros((3, 2))}}, r"labels\['goal'\] of length 4"),
        ({"actions": np.full((3, 2), np.nan)}, r"finite actions, got 6 NaN.*\(0, 0\)"),
        ({"labels": {"goal": np.full((4, 2), np.inf)}}, r"finite labels\['goal'\]"),
    ],
)
def test_disagreements_are_refused(changes, message) -> None:
    with pytest.raises(DataError, match=message):
        make(**changes)


def test_bare_arrays_get_a_name() -> None:
    assert set(make(observations=np.zeros((4, 6, 5, 3), np.uint8)).observations) == {"image"}
    assert set(make(observations=np.zeros((4, 3))).observations) == {"state"}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 6},
        {"success": False},
        {"rewards": np.ones(3)},
        {"labels": {"gaol": np.ones((4, 2))}},
        {"observations": {"image": np.zeros((4, 5, 6, 3), np.uint8), "proprio": np.ones((4, 2))}},
    ],
)
def test_digest_sees_every_field(changes) -> None:
    assert make().digest() == replace(make()).digest()
    assert make().digest() != make(**changes).digest()
