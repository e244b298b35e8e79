"""The plain form in memory and on disk, and a table of what every import refuses."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.exchange import ImportOptions, dataset_from_arrays, import_data
from parrot_wrapper.errors import (
    DataError,
    DataFileError,
    InvalidArgumentError,
    ParrotError,
    UnknownNameError,
)


def episode(steps: int = 4, *, rows: int = 1, side: int = 32, seed: int = 0, **more) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "camera": rng.integers(0, 256, (steps + rows, side, 40, 3), np.uint8),
        "joints": rng.normal(size=(steps + rows, 3)),
        "actions": rng.uniform(-2, 2, (steps, 2)),
        "rewards": rng.normal(size=steps),
        "success": True,
        "seed": 5,
        **more,
    }


BOTH = ImportOptions(vector_keys=("joints",))


def test_in_memory() -> None:
    first, second = episode(), episode(2, rows=0, seed=1, success=False)
    data = dataset_from_arrays([first, second], ImportOptions(vector_keys=("joints",), keep="all"))
    assert (data.n_episodes, data.seeds.tolist(), data.success.tolist()) == (
        2,
        [5, 5],
        [True, False],
    )
    for index, (original, last) in enumerate([(first, -1), (second, -1)]):
        found = data.episode(index)
        steps = found.n_steps
        np.testing.assert_array_equal(
            found.observations["image"][:steps], original["camera"][:steps]
        )
        np.testing.assert_array_equal(found.observations["image"][-1], original["camera"][last])
        np.testing.assert_array_equal(found.actions, np.float32(original["actions"]))
        np.testing.assert_array_equal(found.rewards, np.float32(original["rewards"]))
    assert data.metadata["import"]["last_observation_repeated"] == 1


@pytest.mark.parametrize("form", ["one file each", "all in one", "all in one, T rows"])
def test_files(tmp_path: Path, form: str) -> None:
    rows = 0 if form.endswith("T rows") else 1
    episodes = [episode(n, rows=rows, seed=n, success=n != 2) for n in (3, 1, 2)]
    source = tmp_path / "in"
    source.mkdir()
    if form == "one file each":
        for index, arrays in enumerate(episodes):
            np.savez(source / f"{index:03d}.npz", **arrays)
    else:
        joined = {
            name: np.concatenate([np.atleast_1d(arrays[name]) for arrays in episodes])
            for name in episodes[0]
        }
        source = source / "all.npz"
        np.savez_compressed(
            source, lengths=[3, 1, 2], action_low=[-3, -4], action_high=[3, 4], **joined
        )
    report = import_data("arrays", source, tmp_path / "out", BOTH)
    assert (report.counts["read"], report.counts["dropped_as_failures"]) == (3, 1)
    loaded = load_dataset(tmp_path / "out")
    expected = dataset_from_arrays(episodes, BOTH)
    assert loaded.content_hash == expected.content_hash
    if form != "one file each":
        assert [edge.tolist() for edge in loaded.action_bounds] == [[-3.0, -4.0], [3.0, 4.0]]


def test_channels_first_and_sizes() -> None:
    arrays = episode()
    arrays["camera"] = np.moveaxis(arrays["camera"], -1, 1)
    assert dataset_from_arrays([arrays]).observations["image"].shape[1:] == (32, 40, 3)
    pytest.importorskip("PIL")
    mixed = [episode(side=32), episode(side=64)]
    data = dataset_from_arrays(mixed, ImportOptions(image_size=(48, 48)))
    assert data.observations["image"].shape[1:] == (48, 48, 3)
    flat = {"camera": np.full((5, 64, 48, 1), 77, np.uint8), "actions": np.eye(4)[:, :2]}
    gray = dataset_from_arrays([flat], ImportOptions(image_size=(32, 24))).observations["image"]
    assert gray.shape == (5, 32, 24, 1)
    assert (gray == 77).all()


def test_the_box_is_given_told_or_spanned() -> None:
    plain = {"state": np.eye(3), "actions": [[0.0, 5.0], [1.0, 5.0]]}
    with pytest.warns(UserWarning, match=r"dimensions \[1\] never change"):
        spanned = dataset_from_arrays([plain])
    assert [edge.tolist() for edge in spanned.action_bounds] == [[0.0, 0.0], [1.0, 10.0]]
    told = {**plain, "action_low": [-1, -9], "action_high": [1, 9]}
    with pytest.warns(UserWarning, match="never change"):
        assert dataset_from_arrays([told]).action_bounds[1].tolist() == [1.0, 9.0]
    given = ImportOptions(action_low=(-7.0,), action_high=(7.0,))
    with pytest.warns(UserWarning, match="never change"):
        assert dataset_from_arrays([told], given).action_bounds[0].tolist() == [-7.0, -7.0]
    narrow = ImportOptions(action_low=(-0.5,), action_high=(0.5,))
    with pytest.warns(UserWarning, match=r"Actions leave the box|never change"):
        dataset_from_arrays([plain], narrow)


def test_success_by_the_last_reward() -> None:
    won = episode(3, rewards=[0.0, 1.0, 1.0], success=False)
    lost = episode(2, rewards=[1.0, 0.0])
    assert dataset_from_arrays([won, lost], ImportOptions(success_reward=1.0)).n_steps == 3
    plain = {"state": np.eye(3), "actions": np.eye(2)}
    with pytest.raises(DataError, match="rewards to judge success by"):
        dataset_from_arrays([plain], ImportOptions(success_reward=1.0))


def test_one_step_and_only_some() -> None:
    assert dataset_from_arrays([episode(1)]).lengths.tolist() == [1]
    many = [episode(n, seed=n) for n in (1, 2, 3)]
    assert dataset_from_arrays(many, ImportOptions(episodes=2)).lengths.tolist() == [1, 2]


NAN = np.full((5, 3), np.nan)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"actions": np.zeros((0, 2))}, {}, r"shape \(T, A\).*got shape \(0, 2\)"),
        ({"actions": np.zeros(4)}, {}, r"shape \(T, A\).*got shape \(4,\)"),
        ({"actions": np.array([["a", "b"]] * 4)}, {}, "dtype <U1"),
        ({"actions": np.full((4, 2), np.inf)}, {}, "episode 0: Expected finite actions"),
        ({"actions": np.full((4, 2), 1e300)}, {}, "episode 0: Expected finite actions"),
        ({"rewards": [np.nan] * 4}, {}, "finite rewards"),
        ({"rewards": [0.0] * 3}, {}, r"rewards of shape \(4,\)"),
        ({"joints": NAN}, {"vector_keys": ("joints",)}, r"finite observations\['proprio'\]"),
        ({"camera": np.zeros((5, 32, 40, 3))}, {"image_key": "camera"}, "uint8 images.*float64"),
        ({"camera": np.zeros((5, 32, 40), np.uint8)}, {"image_key": "camera"}, "uint8 images"),
        ({"camera": np.zeros((9, 32, 40, 3), np.uint8)}, {}, "4 or 5 rows in 'camera'"),
        ({"wrist": np.zeros((5, 32, 40, 3), np.uint8)}, {}, "camera, wrist.*--image-key"),
        ({}, {"image_key": "camra"}, "Did you mean 'camera'"),
        ({}, {"vector_keys": ("camera",)}, "vector of numbers in 'camera'"),
        ({"success": [True, False]}, {}, "one success, got shape"),
        ({"lengths": [3]}, {}, "row for each of 3 steps"),
        ({"lengths": "4"}, {}, "expected lengths"),
        ({"seed": "a"}, {}, "one seed, an integer"),
        ({"success": "yes"}, {}, "success as True or False"),
        ({"actions": 3.0}, {}, r"shape \(T, A\).*got shape \(\)"),
        ({"joints": [[1.0], [2.0, 3.0]]}, {"vector_keys": "joints"}, "'joints', got .*object"),
        ({"joints": ["a"] * 4}, {"vector_keys": "joints"}, "'joints', got .*<U1"),
        ({"actions": [[1.0], [2.0, 3.0]]}, {}, r"shape \(T, A\).*dtype object"),
        ({"action_low": -1}, {}, "both action_low and action_high"),
        ({}, {"action_low": (-1.0,) * 3, "action_high": (1.0,) * 3}, "fit 2 action dimensions"),
    ],
)
def test_unusable_arrays(arrays, options, message) -> None:
    with pytest.raises((DataError, UnknownNameError), match=message):
        dataset_from_arrays([{**episode(), **arrays}], ImportOptions(**options))


def test_unusable_sequences() -> None:
    with pytest.raises(DataError, match="at least one episode, got none"):
        dataset_from_arrays([])
    with pytest.raises(DataError, match=r"has the actions: .*--action-key.*Found: state \(3,\)"):
        dataset_from_arrays([{"state": np.eye(3)}])
    with pytest.raises(DataError, match="as a mapping of names to arrays, got None"):
        dataset_from_arrays([None])
    floats = {"state": np.eye(4), "actions": np.eye(4), "image": np.zeros((4, 3, 32, 40))}
    with pytest.raises(DataError, match=r"image has floats.*astype\(np.uint8\).*--no-image"):
        dataset_from_arrays([floats])
    assert dataset_from_arrays([floats], ImportOptions(image=False)).n_steps == 4
    with pytest.raises(DataError, match="uint8 image or a vector, got none"):
        dataset_from_arrays([{"actions": np.eye(3)}])
    with pytest.raises(DataError, match=r"depth \(32, 40\) float32.*Float images"):
        dataset_from_arrays([{"actions": np.eye(3), "depth": np.zeros((4, 32, 40), np.float32)}])
    with pytest.raises(DataError, match="episode 1: expected .*got .*image_size"):
        dataset_from_arrays([episode(side=32), episode(side=64)])
    odd = episode()
    odd["actions"] = np.zeros((4, 3))
    with pytest.raises(DataError, match="episode 1: expected"):
        dataset_from_arrays([episode(), odd])
    with pytest.raises(DataError, match="episode 1: expected 'actions' as in the first"):
        dataset_from_arrays([episode(), {"camera": odd["camera"]}])
    with pytest.raises(DataError, match="episode 1: joints: expected an array of numbers"):
        dataset_from_arrays([episode(), {**episode(), "joints": ["a"] * 5}], BOTH)
    del odd["camera"]
    with pytest.raises(DataError, match="episode 1: expected an observation 'camera'"):
        dataset_from_arrays([episode(), odd])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "some"}, "Unknown choice of keep"),
        ({"episodes": -1}, "got -1"),
        ({"image_size": (0, 32)}, r"got \(0, 32\)"),
        ({"image": False, "image_key": "camera"}, "where no image is taken"),
        ({"one_episode": True, "end_keys": "dones"}, "end_keys or one_episode"),
        ({"success_key": "won", "success_reward": 1.0}, "success_key or success_reward"),
        ({"action_low": (1.0,)}, "of the same length, got 1 and 0"),
        ({"action_low": (1.0,), "action_high": (1.0,)}, "action_low < action_high"),
        ({"action_low": (float("nan"),), "action_high": (1.0,)}, "finite action_low"),
    ],
)
def test_options_are_checked(options, message) -> None:
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=message):
        ImportOptions(**options)


class Bomb:
    """Pickled, it would make a file when it is loaded."""

    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_pickles_are_never_loaded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("objects.npz", actions=np.array([Bomb()], object), state=np.eye(2))
    with pytest.raises(DataFileError, match="objects are pickles, which are never loaded"):
        import_data("arrays", "objects.npz", "out")
    Path("buffer.pkl").write_bytes(b"\x80\x04.")
    for form in ("arrays", "minari", "lerobot", "robomimic"):
        with pytest.raises(DataFileError, match="looks like a pickle.*dataset_from_replay_buffer"):
            import_data(form, "buffer.pkl", "out")
    assert {path.name for path in tmp_path.iterdir()} == {"objects.npz", "buffer.pkl"}


def npy(shape: tuple[int, ...], values: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy((10**15, 2), b"\0" * 16), "claims 16000000000000000 bytes"),
        (npy((1000, 2), b"\0" * 16), "claims another size than it has"),
        (b"\x93NUMPY\x09\x00", "format version"),
        (b"", "NumPy arrays, whole and unaltered"),
        (b"text", "NumPy arrays, whole and unaltered"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../actions.npy", npy((1, 2), b"\0" * 16))
        archive.writestr("actions.npy", content)
    with pytest.raises(DataFileError, match=message):
        import_data("arrays", path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="folder of them, found none"):
        import_data("arrays", tmp_path, tmp_path / "out")
    (tmp_path / "x.npz").write_bytes(b"no zip")
    with pytest.raises(DataFileError, match="an .npz file, whole and unaltered"):
        import_data("arrays", tmp_path / "x.npz", tmp_path / "out")
    with pytest.raises(UnknownNameError, match="Did you mean 'lerobot'"):
        import_data("lerobt", tmp_path, tmp_path / "out")
    np.savez(tmp_path / "x.npz", lengths=[2, 3], actions=np.eye(5), state=np.eye(6))
    with pytest.raises(DataError, match="'state' to have a row for each of 5 steps"):
        import_data("arrays", tmp_path / "x.npz", tmp_path / "out")
    np.savez(tmp_path / "x.npz", lengths=[0, 5], actions=np.eye(5), state=np.eye(5))
    with pytest.raises(DataError, match="integers of at least 1"):
        import_data("arrays", tmp_path / "x.npz", tmp_path / "out")


def test_nothing_half_written(tmp_path: Path, monkeypatch) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for index in range(3):
        np.savez(source / f"{index}.npz", **episode(seed=index))
    monkeypatch.setattr("parrot_wrapper.data.exchange.writing._SHARD_EPISODES", 1)
    (source / "2.npz").write_bytes(b"torn")
    out = tmp_path / "out"
    with pytest.raises(ParrotError):
        import_data("arrays", source, out)
    np.savez(source / "2.npz", **episode(actions=np.full((4, 2), np.nan)))
    with pytest.raises(DataError, match=r"2\.npz: .*finite actions"):
        import_data("arrays", source, out)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    np.savez(source / "2.npz", **episode())
    import_data("arrays", source, out)
    assert len(json.loads((out / "shard-000002.json").read_text())["lengths"]) == 1
    with pytest.raises(DataFileError, match="new or empty folder"):
        import_data("arrays", source, out)
    with pytest.raises(DataFileError, match="new or empty folder"):
        import_data("arrays", source, source / "0.npz")
