"""Drawing, splitting and checking of data in memory."""

import numpy as np
import pytest

from parrot_wrapper.data import Episode, EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError
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


@pytest.mark.parametrize("batch_size", [0, 3, -2])
def test_odd_batches_are_refused(batch_size) -> None:
    with pytest.raises(InvalidArgumentError, match="even batch_size"):
        numbered().sample_pairs(batch_size, np.random.default_rng(0))


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


@pytest.mark.parametrize("indices", [[], [4], [-1]])
def test_subset_refuses_foreign_indices(indices) -> None:
    with pytest.raises(InvalidArgumentError, match=r"within 0 \.\.\. 3"):
        numbered().subset(indices)


def test_split_by_episode() -> None:
    rest, held = numbered().split(0.25, np.random.default_rng(0))
    assert (rest.n_episodes, held.n_episodes) == (3, 1)
    assert sorted([*rest.seeds, *held.seeds]) == [0, 1, 2, 3]
    tiny_rest, tiny_held = numbered().split(0.001, np.random.default_rng(0))
    assert (tiny_rest.n_episodes, tiny_held.n_episodes) == (3, 1)
    with pytest.raises(InvalidArgumentError, match="fraction"):
        numbered().split(1.0, np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match="2 episodes"):
        numbered().subset([0]).split(0.5, np.random.default_rng(0))


def test_action_statistics() -> None:
    actions = np.array([[-1.0, 0.5], [1.0, -0.5], [0.0, 0.0], [0.0, 0.0]])
    data = EpisodeDataset.from_arrays(np.zeros((5, 1)), actions, [4])
    stats = data.action_statistics()
    np.testing.assert_allclose(stats.mean, [0, 0])
    np.testing.assert_allclose(stats.std, actions.std(0))
    np.testing.assert_allclose(stats.clip_fraction, [0.5, 0.0])


GOOD = {"observations": np.zeros((5, 4)), "actions": [[0.1], [0.2], [0.3]], "lengths": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": []}, "at least one episode"),
        ({"lengths": [3, 0]}, "minimum 0"),
        ({"lengths": [1.5, 1.5]}, "integers"),
        ({"actions": [[0.1], [0.2]]}, r"\(3, A\).*got \(2, 1\)"),
        ({"actions": [[0.1], [np.nan], [0.3]]}, "finite actions, got 1 NaN"),
        ({"observations": np.zeros((3, 4))}, r"5 rows \(3 steps \+ 2 .*got shape \(3, 4\)"),
        ({"observations": np.full((5, 4), np.inf)}, r"finite observations\['state'\], got 20"),
        ({"observations": {"image": np.zeros((5, 4, 4, 3))}}, "uint8 0..255, got .*float32"),
        ({"observations": {}}, "at least one observation"),
        ({"labels": {"goal": np.zeros((4, 1))}}, r"labels\['goal'\] with 5 rows"),
        ({"rewards": [0.0]}, r"rewards of shape \(3,\), got \(1,\)"),
        ({"success": [True]}, r"success of shape \(2,\)"),
        ({"action_low": 1.0}, "action_low < action_high"),
        ({"action_low": [-1.0, -1.0, -1.0]}, "fit 1 action dimensions"),
    ],
)
def test_unusable_arrays_are_refused(changes, message) -> None:
    with pytest.raises(DataError, match=message):
        EpisodeDataset.from_arrays(**{**GOOD, **changes})


@pytest.mark.parametrize(
    ("actions", "message"),
    [([[0.1], [2.0], [0.3]], r"leave the box .*\{0: 0.3333\}"), ([[0.1]] * 3, r"\[0\] never")],
)
def test_odd_actions_warn_at_the_caller(actions, message) -> None:
    with pytest.warns(UserWarning, match=message) as caught:
        EpisodeDataset.from_arrays(**{**GOOD, "actions": actions})
    assert caught[0].filename == __file__
    episode = Episode(np.zeros((4, 4)), actions, np.zeros(3), True, 0)
    with pytest.warns(UserWarning, match=message) as caught:
        EpisodeDataset.from_episodes([episode])
    assert caught[0].filename == __file__


def test_mixed_image_sizes_are_refused() -> None:
    def episode(side: int) -> Episode:
        return Episode(np.zeros((3, side, side, 3), np.uint8), np.ones((2, 1)), [0, 0], True, 0)

    with pytest.raises(DataError, match=r"\(48, 48, 3\).*episode 1 has.*\(64, 64, 3\)"):
        EpisodeDataset.from_episodes([episode(48), episode(64)])
    with pytest.raises(DataError, match="at least one episode"):
        EpisodeDataset.from_episodes([])
