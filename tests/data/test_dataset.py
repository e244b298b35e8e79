"""Episodes, and drawing, splitting and checking of data in memory."""

from dataclasses import replace

import numpy as np
import pytest

from parrot_wrapper.data import Episode, EpisodeDataset
from parrot_wrapper.types import ObservationSpec

LENGTHS = (3, 1, 5, 2)


def numbered(lengths=LENGTHS) -> EpisodeDataset:
    """Observations, labels and actions say which episode and step they are of."""
    episodes = []
    for index, length in enumerate(lengths):
        steps = np.arange(length + 1)
        image = np.zeros((length + 1, 4, 4, 3), np.uint8)
        image[..., 0], image[..., 1] = index, steps[:, None, None]
        actions = np.stack([np.full(length, index), steps[:-1]], axis=1) / 100
        labels = {"where": np.stack([np.full(length + 1, index), steps], axis=1)}
        episodes.append(Episode(image, actions, steps[:-1], index % 2 == 0, index, labels))
    return EpisodeDataset.from_episodes(episodes)


def test_offsets_and_rows() -> None:
    data = numbered()
    assert (data.n_episodes, data.n_steps, data.action_dim) == (4, 11, 2)
    assert data.obs_offsets.tolist() == [0, 4, 6, 12]
    assert data.step_offsets.tolist() == [0, 3, 4, 9]
    assert data.observation_spec == ObservationSpec(image=(4, 4, 3))
    where = data.labels["where"][data.observation_rows()]
    np.testing.assert_allclose(where / 100, data.actions, atol=1e-6)


def test_pairs_are_two_steps_of_one_episode() -> None:
    data = numbered()
    batch = data.sample_pairs(2000, np.random.default_rng(0))
    assert {k: v.shape for k, v in batch.items()} == {
        "image": (2000, 4, 4, 3),
        "where": (2000, 2),
        "action": (2000, 2),
    }
    episode, step = batch["where"].astype(int).T
    np.testing.assert_array_equal(batch["image"][:, 0, 0, :2], np.stack([episode, step], 1))
    np.testing.assert_allclose(batch["action"] * 100, batch["where"], atol=1e-5)
    np.testing.assert_array_equal(episode[::2], episode[1::2])
    longer = np.array(LENGTHS)[episode[::2]] > 1
    assert (step[::2] != step[1::2])[longer].all()
    assert (step < np.array(LENGTHS)[episode]).all()
    # all ordered pairs of the longest episode turn up about equally often
    pairs = np.stack([step[::2], step[1::2]], 1)[episode[::2] == 2]
    _, counts = np.unique(pairs, axis=0, return_counts=True)
    assert len(counts) == 20
    assert counts.min() > 0.2 * counts.mean()


def test_pairs_follow_their_generator() -> None:
    first, second = (numbered().sample_pairs(8, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first["where"], second["where"])


def test_subset_shares_images_and_keeps_content() -> None:
    data = numbered()
    part = data.subset([3, 1])
    assert part.observations["image"] is data.observations["image"]
    assert part.seeds.tolist() == [3, 1]
    assert part.lengths.tolist() == [2, 1]
    for index, original in enumerate((3, 1)):
        assert part.episode(index).digest() == data.episode(original).digest()
    batch = part.sample_pairs(50, np.random.default_rng(0))
    assert set(batch["where"][:, 0]) == {1, 3}
    np.testing.assert_allclose(batch["action"] * 100, batch["where"], atol=1e-5)
    # the same whether the parent's hash was computed before or after
    before = part.content_hash
    assert data.content_hash != before
    assert data.subset([3, 1]).content_hash == before != data.subset([1, 3]).content_hash


def test_split_by_episode() -> None:
    rest, held = numbered().split(0.25, np.random.default_rng(0))
    assert (rest.n_episodes, held.n_episodes) == (3, 1)
    assert sorted([*rest.seeds, *held.seeds]) == [0, 1, 2, 3]
    tiny_rest, tiny_held = numbered().split(0.001, np.random.default_rng(0))
    assert (tiny_rest.n_episodes, tiny_held.n_episodes) == (3, 1)


def test_action_statistics() -> None:
    actions = np.array([[-1.0, 0.5], [1.0, -0.5], [0.0, 0.0], [0.0, 0.0]])
    data = EpisodeDataset.from_arrays(np.zeros((5, 1)), actions, [4])
    stats = data.action_statistics()
    np.testing.assert_allclose(stats.mean, [0, 0])
    np.testing.assert_allclose(stats.std, actions.std(0))
    np.testing.assert_allclose(stats.clip_fraction, [0.5, 0.0])


GOOD = {"observations": np.zeros((5, 4)), "actions": [[0.1], [0.2], [0.3]], "lengths": [1, 2]}


@pytest.mark.parametrize(
    ("actions", "message"),
    [([[0.1], [2.0], [0.3]], r"leave the box .*\{0: 0.3333\}"), ([[0.1]] * 3, r"\[0\] never")],
)
def test_odd_actions_warn_at_the_caller(actions, message) -> None:
    with pytest.warns(UserWarning, match=message) as caught:
        kept = EpisodeDataset.from_arrays(**{**GOOD, "actions": actions})
    np.testing.assert_array_equal(kept.actions, np.float32(actions))
    assert caught[0].filename == __file__
    episode = Episode(np.zeros((4, 4)), actions, np.zeros(3), True, 0)
    with pytest.warns(UserWarning, match=message) as caught:
        EpisodeDataset.from_episodes([episode])
    assert caught[0].filename == __file__


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
