"""Data sets that Minari itself wrote, and ours in Minari and back, bit for bit."""

import json
from pathlib import Path

import gymnasium as gym
import h5py
import numpy as np
import pytest

pytest.importorskip("minari")
import minari
from minari.data_collector import EpisodeBuffer

from parrot_wrapper.data import EpisodeDataset, load_dataset
from parrot_wrapper.data.exchange import ImportOptions, export_minari, import_data
from parrot_wrapper.errors import DataError, DataFileError, InvalidArgumentError
from tests.data.test_storage import assert_equal, random_dataset

IMAGES = gym.spaces.Box(0, 255, (32, 40, 3), np.uint8)


@pytest.fixture(autouse=True)
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return root


def images_of_minaris_size(lengths=(3, 1, 5), **more) -> EpisodeDataset:
    rng = np.random.default_rng(0)
    rows = sum(lengths) + len(lengths)
    return EpisodeDataset.from_arrays(
        {"image": rng.integers(0, 256, (rows, 48, 48, 3), np.uint8)},
        rng.uniform(-2, 1, (sum(lengths), 2)),
        lengths,
        action_low=[-2, -3],
        action_high=1,
        **more,
    )


def two_cameras() -> EpisodeDataset:
    rng = np.random.default_rng(0)
    images = {"image": (6, 32, 40, 3), "image_wrist": (6, 24, 24, 1)}
    parts = {name: rng.integers(0, 256, shape, np.uint8) for name, shape in images.items()}
    return EpisodeDataset.from_arrays({**parts, "proprio": np.eye(6, 2)}, np.eye(4), [3, 1])


@pytest.mark.parametrize(
    "data",
    [
        random_dataset([3, 1, 5]),
        random_dataset([2, 2], labels=False),
        images_of_minaris_size(metadata={"settings": {"env_id": "Reach-v0"}, "note": "kept"}),
        EpisodeDataset.from_arrays(np.random.default_rng(0).normal(size=(6, 3)), np.eye(4), [3, 1]),
        two_cameras(),
    ],
    ids=["all parts", "no labels", "image", "state", "two cameras"],
)
def test_there_and_back_is_bit_for_bit(tmp_path: Path, data: EpisodeDataset) -> None:
    folder = export_minari(data, "parrot/tiny-v0", author="a", description="d")
    assert folder == tmp_path / "minari/parrot/tiny-v0"
    assert {path.name for path in (tmp_path / "minari").iterdir()} == {"parrot"}
    options = ImportOptions(keep="all", vector_keys=("proprio",) if "proprio" in str(data) else ())
    import_data("minari", "parrot/tiny-v0", tmp_path / "back", options)
    back = load_dataset(tmp_path / "back")
    assert_equal(back, data)
    np.testing.assert_array_equal(back.action_bounds, data.action_bounds)
    for key in ("settings", "note"):
        assert back.metadata.get(key) == data.metadata.get(key, {} if key == "settings" else None)


def test_minari_reads_what_we_export() -> None:
    data = images_of_minaris_size(success=[True, False, True], seeds=[7, -1, 9])
    export_minari(data, "parrot/tiny-v0", algorithm_name="expert")
    assert set(minari.list_local_datasets()) == {"parrot/tiny-v0"}
    theirs = minari.load_dataset("parrot/tiny-v0")
    assert theirs.storage.metadata["algorithm_name"] == "expert"
    assert theirs.storage.jpeg_encoding is False
    assert theirs.action_space == gym.spaces.Box(np.float32([-2, -3]), np.float32([1, 1]))
    assert theirs.observation_space == gym.spaces.Box(0, 255, (48, 48, 3), np.uint8)
    for index, episode in enumerate(theirs.iterate_episodes()):
        ours = data.episode(index)
        np.testing.assert_array_equal(episode.observations, ours.observations["image"])
        np.testing.assert_array_equal(episode.actions, ours.actions)
        assert episode.truncations.tolist() == [False] * (ours.n_steps - 1) + [True]
        assert bool(episode.infos["is_success"][-1]) is ours.success
    seeds = [facts.get("seed") for facts in theirs.storage.get_episode_metadata(range(3))]
    assert seeds == [7, None, 9]
    with pytest.raises(DataFileError, match="no data set of this id yet"):
        export_minari(data, "parrot/tiny-v0")


@pytest.mark.parametrize("name", ["tiny", "../tiny-v0", "/tiny-v0", "a b-v0", "a/../b-v0", ""])
def test_ids_that_minari_does_not_take(name: str, minari_root: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="Minari id"):
        export_minari(images_of_minaris_size(), name)
    assert not minari_root.exists()


def test_a_failed_export_leaves_nothing(minari_root: Path, monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minari.data_collector.EpisodeBuffer", fail)
    with pytest.raises(KeyboardInterrupt):
        export_minari(images_of_minaris_size(), "tiny-v0")
    assert list(minari_root.iterdir()) == []
    assert Path(minari.storage.get_dataset_path("")) == minari_root


def written_by_minari(*, jpeg: bool = False, lengths=(4, 2), successes=(True, False)) -> str:
    """A Dict with nesting, float64 states and actions, as an env of someone else's has."""
    rng = np.random.default_rng(0)
    space = gym.spaces.Dict(
        {
            "camera": IMAGES,
            "robot": gym.spaces.Dict({"joints": gym.spaces.Box(-9, 9, (3,), np.float64)}),
        }
    )
    buffers = [
        EpisodeBuffer(
            seed=index,
            observations={
                "camera": rng.integers(0, 256, (steps + 1, *IMAGES.shape), np.uint8),
                "robot": {"joints": rng.normal(size=(steps + 1, 3))},
            },
            actions=rng.uniform(-2, 2, (steps, 2)),
            rewards=list(np.arange(steps, dtype=float)),
            terminations=[False] * steps,
            truncations=[False] * (steps - 1) + [True],
            infos={"success": np.arange(steps + 1) == (steps if successes[index] else -1)},
        )
        for index, steps in enumerate(lengths)
    ]
    with pytest.warns(UserWarning):  # of every line of its card that we leave empty
        minari.create_dataset_from_buffers(
            "others/arm-v1",
            buffers,
            observation_space=space,
            action_space=gym.spaces.Box(-2, 2, (2,), np.float64),
            jpeg_encoding=jpeg,
        )
    return "others/arm-v1"


def test_import_of_minaris_own(tmp_path: Path, minari_root: Path) -> None:
    name = written_by_minari()
    options = ImportOptions(vector_keys=("robot/joints",), keep="all")
    for source in (name, minari_root / name, minari_root / name / "data"):
        out = tmp_path / f"out-{len(str(source))}"
        report = import_data("minari", source, out, options)
        assert report.action_box == "told by the data set"
        data = load_dataset(out)
        for index, theirs in enumerate(minari.load_dataset(name).iterate_episodes()):
            ours = data.episode(index)
            np.testing.assert_array_equal(ours.observations["image"], theirs.observations["camera"])
            joints = theirs.observations["robot"]["joints"]
            np.testing.assert_array_equal(ours.observations["proprio"], joints.astype(np.float32))
            np.testing.assert_array_equal(ours.actions, theirs.actions.astype(np.float32))
            np.testing.assert_array_equal(ours.rewards, theirs.rewards)
            assert ours.seed == index
        assert data.success.tolist() == [True, False]
        assert [edge.tolist() for edge in data.action_bounds] == [[-2.0] * 2, [2.0] * 2]
    report = import_data("minari", name, tmp_path / "kept")
    assert (report.counts["kept"], report.counts["dropped_as_failures"]) == (1, 1)
    assert report.choice.left_out == ("robot/joints",)


def test_images_that_minari_compressed(tmp_path: Path) -> None:
    name = written_by_minari(jpeg=True)
    import_data("minari", name, tmp_path / "out", ImportOptions(keep="all"))
    data = load_dataset(tmp_path / "out")
    first = next(iter(minari.load_dataset(name).iterate_episodes()))
    np.testing.assert_array_equal(
        data.episode(0).observations["image"], first.observations["camera"]
    )
    assert data.metadata["minari"]["jpeg_encoding"] is True


def test_what_is_no_data_set(tmp_path: Path, minari_root: Path) -> None:
    with pytest.raises(DataFileError, match="Expected a Minari data set, found none at 'no-v0'"):
        import_data("minari", "no-v0", tmp_path / "out")
    folder = minari_root / written_by_minari() / "data"
    metadata = json.loads((folder / "metadata.json").read_text())
    env = '{"id": "X-v0", "entry_point": "os:abort"}'
    for changes, message in [
        ({"observation_space": None, "env_spec": env}, "expected its observation_space"),
        ({"action_space": "{}"}, "expected a Minari data set, whole"),
        ({"total_episodes": 9}, "expected a Minari data set, whole"),
        ({"total_episodes": "many"}, "expected a Minari data set, whole"),
        ({"data_format": "pickle"}, "expected a Minari data set, whole"),
    ]:
        (folder / "metadata.json").write_text(json.dumps({**metadata, **changes}))
        with pytest.raises(DataFileError, match=message):
            import_data("minari", folder, tmp_path / "out")
    (folder / "metadata.json").write_text(json.dumps({**metadata, "total_episodes": 0}))
    with pytest.raises(DataError, match="at least one episode, got none"):
        import_data("minari", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_to_other_files_are_not_followed(tmp_path: Path, minari_root: Path) -> None:
    folder = minari_root / written_by_minari() / "data"
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["rewards"] = np.zeros(4)
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file["episode_0/rewards"]
        file["episode_0/rewards"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "rewards")
    with pytest.raises(DataFileError, match=r"episode_0/rewards is a link to another file"):
        import_data("minari", folder, tmp_path / "out")
