"""What demonstrations tell of themselves: found per dimension, and only where images tell of it."""

import numpy as np
import pytest

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.encoders.cues import Cues, Toggle, Track, find_cues, hindsight_labels
from tests.priors.moving_point import CARRY, CONTROLS, SWITCH, point_data

pytestmark = pytest.mark.filterwarnings("ignore:Action dimensions")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("control", CONTROLS)
def test_each_dimension_is_what_it_is(control, seed):
    """Not named by hand: positions, velocities and forces, a switch, noise and a constant."""
    data = point_data(control, episodes=30, seed=seed)
    cues = find_cues(data)
    assert [toggle.dim for toggle in cues.toggles] == [SWITCH]
    assert -1 < cues.toggles[0].low < cues.toggles[0].high < 1
    assert [(t.source, t.dim, t.order) for t in cues.tracks] == [
        ("action", dim, CONTROLS[control]) for dim in (0, 1)
    ]
    assert all(track.told > 0.5 for track in cues.tracks)
    assert all(track.carry == CARRY.get(control, 1.0) for track in cues.tracks)
    assert cues.fixed_camera
    assert Cues.from_dict(cues.to_dict()) == cues
    labels = hindsight_labels(data, cues)
    there = labels["hindsight_there"] > 0
    assert there.mean(axis=0).min() >= 0 and there[:, 1:].any(axis=0).all()
    lengths = np.sqrt(np.square(labels["hindsight_way"][there]).mean(axis=0))
    np.testing.assert_allclose(lengths, 1.0, atol=0.3)  # in multiples of a typical way


@pytest.mark.parametrize("control", CONTROLS)
def test_tracks_are_places_and_ways_lead_to_where_it_switches(control):
    data = point_data(control, episodes=30)
    labels = hindsight_labels(data, cues := find_cues(data))
    place, goal = data.labels["place"], data.labels["goal"][:, :2]
    for episode in range(3):
        rows = data.obs_offsets[episode] + np.arange(data.lengths[episode] + 1)
        for dim in range(2):
            track, real = labels["hindsight_track"][rows, dim], place[rows, dim]
            if control == "position":  # where it was told to be is where it is
                track, real = track[1:], real[1:]
            np.testing.assert_allclose(np.corrcoef(track, real)[0, 1], 1.0, atol=1e-3)
    there = labels["hindsight_there"][:, 1] > 0
    units = {"position": 1.0, "velocity": 0.2}.get(control, 0.1)
    scales = units * np.array([track.scale for track in cues.tracks])
    error = place + labels["hindsight_way"][:, 1] * scales - goal
    assert np.abs(error[there]).max() < (0.25 if control == "position" else 0.1)


@pytest.mark.parametrize("control", CONTROLS)
def test_speed_is_taught_where_actions_are_forces(control):
    data = point_data(control, episodes=30)
    told = hindsight_labels(data, find_cues(data))["hindsight_speed"]
    assert told.shape == (len(data.labels["place"]), 2 if control in CARRY else 0)
    rows = data.observation_rows()[1:]
    within = np.diff(data.observation_rows()) == 1
    speed = (data.labels["place"][rows] - data.labels["place"][rows - 1])[within]
    for real, label in zip(speed.T, told[rows][within].T, strict=False):
        np.testing.assert_allclose(np.corrcoef(real, label)[0, 1], 1.0, atol=1e-3)


def test_images_that_tell_nothing_give_no_tracks():
    for seed in range(3):
        cues = find_cues(point_data(episodes=20, blind=True, seed=seed))
        assert cues.tracks == () and not cues.fixed_camera
        assert [toggle.dim for toggle in cues.toggles] == [SWITCH]
    still = point_data(episodes=20)
    still.observations["image"] = np.full_like(still.observations["image"], 90)
    assert find_cues(still).tracks == () and find_cues(still).fixed_camera


def test_proprioception_stands_in_for_actions_where_images_tell_of_it():
    def turned(place):
        return np.stack([place[:, 0] + 3.0, place[:, 1] - place[:, 0], 0 * place[:, 0]], axis=1)

    def noise(place):
        return np.random.default_rng(0).standard_normal(place.shape)

    data = point_data(episodes=30, proprio=turned)
    cues = find_cues(data)
    assert [(t.source, t.dim, t.order) for t in cues.tracks] == [
        ("proprio", 0, 0),
        ("proprio", 1, 0),
    ]
    track = hindsight_labels(data, cues)["hindsight_track"]
    scales = np.array([track.scale for track in cues.tracks])
    np.testing.assert_allclose(track * scales, turned(data.labels["place"])[:, :2], atol=1e-5)
    told = find_cues(point_data(episodes=30, proprio=noise)).tracks
    assert [(t.source, t.dim, t.order) for t in told] == [("action", 0, 1), ("action", 1, 1)]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (lambda t, rng: np.where(t % 20 < 7, -1.0, 1.0) + 0.1 * rng.standard_normal(t.size), True),
        (lambda t, rng: np.where(t % 20 < 7, 0.0, 0.04), True),
        (lambda t, rng: np.where(t % 20 < 18, 0.0, 1.0), True),
        (lambda t, rng: rng.choice([-1.0, 1.0], t.size), False),  # bang-bang
        (lambda t, rng: np.sin(t), False),
        (lambda t, rng: rng.uniform(-1, 1, t.size), False),
        (lambda t, rng: rng.standard_normal(t.size), False),
        (lambda t, rng: np.full(t.size, 0.3), False),
        (lambda t, rng: (t == 30).astype(float), False),  # once in all the data
        (lambda t, rng: t % 3 - 1.0, False),
    ],
)
def test_toggles(values, found):
    made = values(np.arange(200), np.random.default_rng(0))
    data = EpisodeDataset.from_arrays(
        {"image": np.zeros((210, 8, 8, 3), np.uint8)}, made[:, None], [20] * 10,
        action_low=-5.0, action_high=5.0,
    )  # fmt: skip
    assert [toggle.dim for toggle in find_cues(data).toggles] == ([0] if found else [])


def one_episode(*columns) -> EpisodeDataset:
    actions = np.stack(columns, axis=1).astype(np.float32)
    state = np.zeros((len(actions) + 1, 1))
    return EpisodeDataset.from_arrays({"state": state}, actions, [len(actions)])


MOVES = Track("action", 0, 1, 2.0, 0.9)


def steps_to(labels, kind: int, row: int = 0) -> float:
    """How far along dimension 0 the keyframe is, in the action's own unit."""
    assert labels["hindsight_there"][row, kind] == 1
    return 2.0 * float(labels["hindsight_way"][row, kind, 0])


def test_a_keyframe_is_where_a_toggle_changes():
    switch = np.array([-1.0] * 6 + [0.1, 1.0, 0.2, 1.0] + [-1.0] * 6)  # between: as it was
    data = one_episode(np.ones(16), switch)
    labels = hindsight_labels(data, Cues((Toggle(1, -0.4, 0.4),), (MOVES,), rest=0.1))
    assert labels["hindsight_toggle"][:, 0].tolist() == [-1] * 7 + [-1] + [1] * 3 + [-1] * 6
    assert [steps_to(labels, 1, row) for row in (0, 2, 5)] == [7.0, 5.0, 2.0]
    assert [steps_to(labels, 0, row) for row in (0, 8)] == [10.0, 2.0]
    assert steps_to(labels, 1, 7) == 0.0
    assert not labels["hindsight_there"][8:, 1].any()  # none follows
    assert not labels["hindsight_there"][11:, 0].any()
    assert steps_to(labels, 2) == 16.0  # the end, as it never rests


@pytest.mark.parametrize(
    ("moves", "where"),
    [
        ([1.0] * 6 + [0.0] * 5 + [1.0] * 4, 6),
        ([1.0] * 8 + [-1.0] * 8, 8),
        ([1.0] * 5 + [0.05] * 4 + [-1.0] * 9, 5),
    ],
)
def test_a_keyframe_is_where_it_rests_or_turns_sharply(moves, where):
    labels = hindsight_labels(one_episode(np.array(moves)), Cues((), (MOVES,), rest=0.2))
    assert steps_to(labels, 0) == pytest.approx(where, abs=1.01)  # a step early or late
    assert not labels["hindsight_there"][where, 0]  # who rests is on no way to a rest
    assert labels["hindsight_there"][where + 5 if where == 6 else where - 3, 0]


def test_labels_of_a_subset_are_those_of_the_whole():
    whole = point_data(episodes=12, length=9, proprio=lambda place: place)
    for cues in (find_cues(whole), Cues((Toggle(SWITCH, -0.4, 0.4),), (MOVES,), 0.2)):
        assert cues.tracks
        expected = hindsight_labels(whole, cues)
        subset = whole.subset([7, 2, 11])
        found = hindsight_labels(subset, cues)
        rows = (subset.obs_offsets[:, None] + np.arange(10)).ravel()
        for name, values in expected.items():
            assert len(found[name]) == len(values)
            np.testing.assert_array_equal(found[name][rows], values[rows], err_msg=name)
            assert not np.delete(found[name], rows, axis=0).any()
    taught = subset.with_labels(found)
    assert taught.content_hash == subset.content_hash
    assert set(taught.labels) == set(expected)


@pytest.mark.parametrize("side", [4, 7, 32, 84, 256])
def test_images_of_any_size_tell(side):
    data = point_data(episodes=16, length=12, side=side)
    told = find_cues(data).tracks
    assert [track.dim for track in told] == [0, 1]
    assert min(track.told for track in told) > 0.3
