"""LeRobot folders of both layouts, written as lerobot writes them, and ones that lie."""

import json
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

pytest.importorskip("pyarrow")
pytest.importorskip("av")
pytest.importorskip("PIL")
import pyarrow as pa
import pyarrow.parquet as pq

from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.exchange import ImportOptions, export_lerobot, import_data
from parrot_wrapper.errors import (
    DataError,
    DataFileError,
    InvalidArgumentError,
    UnknownNameError,
)
from parrot_wrapper.training.prior import keys_fact
from parrot_wrapper.wrappers.reader import observation_keys
from tests.data.foreign_folders import png, write_lerobot, write_video

CAMERA = "observation.images.top"
BOTH = ImportOptions(vector_keys=("observation.state",))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("images", ["video", "image"])
def test_episodes_come_back(tmp_path: Path, version: str, images: str) -> None:
    episodes = write_lerobot(tmp_path / "in", version, images=images, successes=[True, False, True])
    report = import_data("lerobot", tmp_path / "in", tmp_path / "out", BOTH)
    assert report.counts == {
        "read": 3,
        "kept": 2,
        "dropped_as_failures": 1,
        "success_unknown": 0,
        "last_observation_repeated": 2,
    }
    data = load_dataset(tmp_path / "out")
    for index, original in enumerate([episodes[0], episodes[2]]):
        found = data.episode(index)
        np.testing.assert_array_equal(found.actions, original["action"])
        np.testing.assert_array_equal(found.observations["proprio"][:-1], original["state"])
        np.testing.assert_array_equal(found.observations["proprio"][-1], original["state"][-1])
        difference = found.observations["image"][:-1].astype(int) - original["image"]
        # neighbouring frames differ by 7 everywhere, so no frame is taken for another
        assert np.abs(difference).mean() < (2.0 if images == "video" else 0.001)
    low, high = data.action_bounds
    np.testing.assert_array_equal(low, data.actions.min(0))
    np.testing.assert_array_equal(high, data.actions.max(0))
    assert data.metadata["import"]["action_box"] == "spanned by the actions"
    assert data.metadata["lerobot"]["codebase_version"] == version


def test_several_cameras_are_found_in_an_env_by_their_last_words(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "in", "v2.1", images="image")
    cameras = (CAMERA, "observation.images.wrist")
    path = tmp_path / "in/meta/info.json"
    info = json.loads(path.read_text())
    info["features"][cameras[1]] = info["features"][CAMERA]
    path.write_text(json.dumps(info))
    for path in (tmp_path / "in/data").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.append_column(cameras[1], table[CAMERA]), path)
    options = ImportOptions(image_key=cameras, vector_keys=("observation.state",))
    import_data("lerobot", tmp_path / "in", tmp_path / "out", options)
    data = load_dataset(tmp_path / "out")
    assert list(data.observation_spec.parts) == [*cameras, "proprio"]
    np.testing.assert_array_equal(*(data.observations[name] for name in cameras))
    space = spaces.Dict({name: spaces.Box(0, 1, (1,)) for name in ("top", "wrist", "state")})
    assert observation_keys(keys_fact(data), data.observation_spec.parts, space) == {
        cameras[0]: ("top",),
        cameras[1]: ("wrist",),
        "proprio": ("state",),
        "state": ("state",),
    }


def test_frames_are_resized_as_they_are_read(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "in", "v3.0", images="video")
    options = ImportOptions(image_size=(24, 32), action_low=(-3.0,), action_high=(3.0,))
    import_data("lerobot", tmp_path / "in", tmp_path / "out", options)
    data = load_dataset(tmp_path / "out")
    assert data.observations["image"].shape[1:] == (24, 32, 3)
    assert [edge.tolist() for edge in data.action_bounds] == [[-3.0] * 4, [3.0] * 4]


def test_images_kept_as_files_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "in"
    episodes = write_lerobot(root, "v2.1", images="image", lengths=(2,))
    names = [f"images/frame_{step}.png" for step in range(2)]
    (root / "images").mkdir()
    for name, image in zip(names, episodes[0]["image"], strict=True):
        (root / name).write_bytes(png(image))
    replace_images(root, [{"bytes": None, "path": name} for name in names])
    import_data("lerobot", root, tmp_path / "out")
    found = load_dataset(tmp_path / "out").observations["image"]
    np.testing.assert_array_equal(found[:2], episodes[0]["image"])
    (tmp_path / "secret.png").write_bytes(png(episodes[0]["image"][0]))
    replace_images(root, [{"bytes": None, "path": name} for name in ("../secret.png", names[1])])
    with pytest.raises(DataFileError, match=r"'\.\./secret\.png' leads to"):
        import_data("lerobot", root, tmp_path / "out2")


def replace_images(root: Path, cells: list) -> None:
    path = root / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(path).drop_columns([CAMERA])
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(table.append_column(CAMERA, pa.array(cells, kind)), path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_path": "../outside/{episode_index:06d}.parquet"}, r"leads to"),
        ({"data_path": "/etc/hostname"}, r"leads to|No such file"),
        ({"data_path": "data/{episode_index.__class__}.parquet"}, "template"),
        ({"data_path": "data/{episode_index:9999999999d}.parquet"}, "template"),
        ({"data_path": "data/{surprise:03d}.parquet"}, "fields episode_chunk, episode_index"),
        ({"data_path": 3}, "No such file"),
        *(
            ({"data_path": odd}, r"info\.json|template")
            for odd in ("a{", "a}", "{}", "{0}", "{episode_index!r}", "{x:{y}}")
        ),
        ({"codebase_version": "v4.0"}, "v2.x or v3.x, got 'v4.0'"),
        ({"fps": 0}, "fps is 0"),
        ({"total_episodes": 4}, "expected 4 episodes .* found 3 listed"),
        ({"features": {}}, "has the actions: name it with action_key .*Found: none"),
        ({"features": {"action": {}, "observation.x": {}}}, "features with dtype and shape"),
        ({"features": {"action": 3}}, "description of a LeRobot data set"),
    ],
)
def test_descriptions_that_lie(tmp_path: Path, changes, message) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/000000.parquet").write_bytes(b"PAR1")
    write_lerobot(tmp_path / "in", "v2.1", images="image", changes=changes)
    with pytest.raises((DataError, DataFileError), match=message):
        import_data("lerobot", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"in", "outside"}


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_lerobot(root, "v2.1", images="image")
    path = root / "data/chunk-000/episode_000001.parquet"
    path.rename(tmp_path / "elsewhere.parquet")
    path.symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(DataFileError, match=r"made of links.*cp -rL"):
        import_data("lerobot", root, tmp_path / "out")


def test_video_that_is_something_else(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_lerobot(root, "v2.1", images="video", lengths=(3,))
    video = root / "videos/chunk-000" / CAMERA / "episode_000000.mp4"
    secret = tmp_path / "secret.mp4"
    video.rename(secret)
    video.write_text(f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")  # a playlist
    with pytest.raises(DataFileError, match=r"episode_000000\.mp4: expected an MP4 video"):
        import_data("lerobot", root, tmp_path / "out")
    video.unlink()
    write_video(video, np.zeros((2, 48, 64, 3), np.uint8))
    with pytest.raises(DataFileError, match="expected 3 frames .* found 2"):
        import_data("lerobot", root, tmp_path / "out")
    video.unlink()
    with pytest.raises(DataFileError, match="No such file"):
        import_data("lerobot", root, tmp_path / "out")


def test_tables_that_do_not_fit(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_lerobot(root, "v3.0", images="image")
    path = root / "data/chunk-000/file-000.parquet"
    whole = path.read_bytes()
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 5), path)
    with pytest.raises(DataFileError, match="expected 2 rows .* episode 1, got 1"):
        import_data("lerobot", root, tmp_path / "out")
    ragged = pa.array([[0.0] * 4] * 5 + [[0.0] * 3], pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.column_names.index("action"), "action", ragged), path)
    with pytest.raises(DataFileError, match="numbers in the column 'action'.*different lengths"):
        import_data("lerobot", root, tmp_path / "out")
    words = pa.array(["a"] * 6)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", words), path)
    with pytest.raises(DataFileError, match="the type is string"):
        import_data("lerobot", root, tmp_path / "out")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFileError, match="a Parquet table, whole and unaltered"):
        import_data("lerobot", root, tmp_path / "out")


def test_tables_that_claim_absurdly_much(tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "in"
    write_lerobot(root, "v3.0", images="image")
    # one value a million times over takes nothing on disk
    path = root / "data/chunk-000/file-000.parquet"
    many = 1_000_000
    columns = {"episode_index": pa.array(np.zeros(many, np.int64))}
    columns["action"] = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * many)), 4)
    pq.write_table(pa.table(columns), path)
    assert path.stat().st_size < 50_000
    monkeypatch.setattr("parrot_wrapper.data.exchange.lerobot.MAX_ARRAY_BYTES", 10_000_000)
    with pytest.raises(DataFileError, match=r"claims 4\d{7} bytes"):
        import_data("lerobot", root, tmp_path / "out", ImportOptions(image=False))


def test_choosing(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_lerobot(root, "v3.0", images="image")
    report = import_data("lerobot", root, tmp_path / "state", ImportOptions(image=False))
    assert (report.choice.vectors, report.choice.left_out) == (("observation.state",), (CAMERA,))
    with pytest.raises(UnknownNameError, match=r"Did you mean 'observation\.images\.top'"):
        import_data("lerobot", root, tmp_path / "out", ImportOptions(image_key="images.top"))
    with pytest.raises(DataError, match=r"Expected uint8 images .* 'observation\.state'"):
        import_data("lerobot", root, tmp_path / "o", ImportOptions(image_key="observation.state"))
    with pytest.raises(DataFileError, match="LeRobot folder with meta/info.json"):
        import_data("lerobot", tmp_path / "nothing", tmp_path / "out")


def test_many_bytes_altered_never_do_more_than_a_typed_error(tmp_path: Path) -> None:
    """Whatever byte of a small folder is altered: a typed error, or data."""
    root = tmp_path / "in"
    write_lerobot(root, "v3.0", images="video", lengths=(2, 2))
    files = [path for path in root.rglob("*") if path.is_file()]
    rng = np.random.default_rng(0)
    refused = 0
    for attempt in range(45):
        path = files[attempt % len(files)]
        content = path.read_bytes()
        altered = bytearray(content)
        altered[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(altered)
        try:
            import_data("lerobot", root, tmp_path / f"out-{attempt}")
        except (DataError, DataFileError):
            refused += 1
        finally:
            path.write_bytes(content)
    assert refused > 2


def test_info_that_is_no_json(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "in", "v3.0", images="image")
    for text in ("", "[]", "{", "[" * 100_000, json.dumps({"fps": 1})):
        (tmp_path / "in/meta/info.json").write_text(text)
        with pytest.raises(DataFileError, match="info.json"):
            import_data("lerobot", tmp_path / "in", tmp_path / "out")


def ours(**observations: tuple[int, ...]) -> EpisodeDataset:
    """Three episodes, of which the second failed, with observations of these shapes."""
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 4])
    parts = {
        name: rng.integers(0, 256, (11, *shape), np.uint8)
        if len(shape) == 3
        else rng.normal(size=(11, *shape)).astype(np.float32)
        for name, shape in observations.items()
    }
    actions, rewards = rng.uniform(-2, 2, (8, 2)), rng.normal(size=8)
    success = [True, False, True]
    box = {"action_low": -2.0, "action_high": 2.0}
    return EpisodeDataset.from_arrays(
        parts, actions, lengths, rewards=rewards, success=success, **box
    )


@pytest.mark.parametrize(
    ("parts", "keys"),
    [
        (
            {"image": (6, 8, 3), "wrist": (6, 8, 3), "proprio": (2,), "state": (3,)},
            ["image", "images.wrist", "state", "environment_state"],
        ),
        ({"state": (3,)}, ["state"]),
        ({"observation.images.top": (6, 8, 1), "proprio": (1,)}, ["images.top", "state"]),
    ],
)
def test_our_export_comes_back(tmp_path: Path, parts: dict, keys: list[str]) -> None:
    data = ours(**parts)
    root = export_lerobot(data, tmp_path / "out", fps=5, task="go")
    features = json.loads((root / "meta/info.json").read_text())["features"]
    assert list(features)[: len(keys)] == [f"observation.{key}" for key in keys]
    named = [name for name, shape in parts.items() if len(shape) == 3]
    images = [f"observation.{key}" for key, name in zip(keys, parts, strict=True) if name in named]
    options = ImportOptions(
        image_key=tuple(images),
        vector_keys=("observation.state",),
        reward_key="next.reward",
        keep="all",
        action_low=(-2.0,),
        action_high=(2.0,),
    )
    import_data("lerobot", root, tmp_path / "back", options)
    back = load_dataset(tmp_path / "back")
    np.testing.assert_array_equal(back.actions, data.actions)
    np.testing.assert_array_equal(back.rewards, data.rewards)
    np.testing.assert_array_equal(back.success, data.success)
    vector = "proprio" if "proprio" in parts else "state"
    for index in range(3):
        one, other = data.episode(index).observations, back.episode(index).observations
        found = other["proprio" if images else "state"]
        np.testing.assert_array_equal(one[vector][:-1], found[:-1])
        for name, key in zip(named, images, strict=True):
            image = other["image" if len(images) == 1 else key][:-1]
            assert (image == one[name][:-1]).all()  # one channel comes back as three alike


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="1 or 3 channels"):
        export_lerobot(ours(image=(6, 8, 6)), tmp_path / "out")
    for fps in (0, -1.0, float("nan"), "ten"):
        with pytest.raises(InvalidArgumentError, match="fps"):
            export_lerobot(ours(state=(2,)), tmp_path / "out", fps=fps)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with pytest.raises(DataFileError, match="no such folder yet"):
        export_lerobot(ours(state=(2,)), tmp_path / "out")
