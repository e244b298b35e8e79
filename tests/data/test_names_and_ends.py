"""Names of the user's own in every format, and where episodes of flat arrays end."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from parrot_wrapper.data import EpisodeDataset, load_dataset
from parrot_wrapper.data.exchange import ImportOptions, dataset_from_arrays, import_data
from parrot_wrapper.errors import DataError, DataFileError, InvalidArgumentError, ParrotError
from tests.data.foreign_folders import png, write_lerobot, write_robomimic

LENGTHS = (3, 1, 4)
EDGES = np.cumsum(LENGTHS)[:-1]
RNG = np.random.default_rng(0)
OBSERVED = {
    "agentview_image": RNG.integers(0, 256, (8, 24, 32, 3), np.uint8),
    "wrist_image": RNG.integers(0, 256, (8, 24, 32, 3), np.uint8),
    "robot0_eef_pos": RNG.normal(size=(8, 3)),
    "robot0_hands": RNG.normal(size=(8, 2, 2)),
    "robot0_open": RNG.integers(0, 2, (8, 1)).astype(bool),
}
FIELDS = {
    "abs_actions": RNG.uniform(-1, 1, (8, 5)),
    "score": RNG.normal(size=8),
    "won": np.array([0, 0, 1, 0, 1, 0, 0, 1], bool),
}
OPTIONS = ImportOptions(
    image_key="agentview_image",
    vector_keys=("robot0_hands", "robot0_eef_pos", "robot0_open"),
    action_key="abs_actions",
    reward_key="score",
    success_key="won",
    action_low=(-1.0,),
    action_high=(1.0,),
    keep="all",
)


def expected() -> EpisodeDataset:
    def rows(array: np.ndarray) -> np.ndarray:
        parts = (np.concatenate([part, part[-1:]]) for part in np.split(array, EDGES))
        return np.concatenate(list(parts))

    vectors = [OBSERVED[name].reshape(8, -1) for name in OPTIONS.vector_keys]
    return EpisodeDataset.from_arrays(
        {
            "image": rows(OBSERVED["agentview_image"]),
            "proprio": rows(np.concatenate(vectors, axis=1)),
        },
        FIELDS["abs_actions"],
        LENGTHS,
        rewards=FIELDS["score"],
        success=[True, False, True],
    )


def each_episode() -> list[dict[str, np.ndarray]]:
    parts = {k: np.split(v, EDGES) for k, v in (OBSERVED | FIELDS).items()}
    return [{k: part[i] for k, part in parts.items()} for i in range(len(LENGTHS))]


def flags() -> np.ndarray:
    ends = np.zeros(8)
    ends[[2, 3, 7]] = 1
    return ends


def npz_files(root: Path) -> Path:
    root.mkdir()
    for index, episode in enumerate(each_episode()):
        np.savez_compressed(root / f"{index}.npz", **episode)
    return root


def flat_npz(root: Path) -> Path:
    path = root.with_suffix(".npz")
    np.savez(path, stop=flags(), **OBSERVED, **FIELDS)
    return path


def flat_hdf5(root: Path) -> Path:
    path = root.with_suffix(".hdf5")
    with h5py.File(path, "w") as file:
        for name, array in {"stop": flags(), **OBSERVED, **FIELDS}.items():
            file[name] = array
        file["infos/text"] = ["a"] * 8
    return path


def robomimic(root: Path) -> Path:
    path = root.with_suffix(".hdf5")
    with h5py.File(path, "w") as file:
        for index, episode in enumerate(each_episode()):
            for name, array in episode.items():
                inner = f"obs/{name}" if name in OBSERVED else name
                file[f"data/demo_{index}/{inner}"] = array
    return path


def lerobot(root: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("PIL")
    import pyarrow.parquet as pq

    (root / "meta").mkdir(parents=True)
    (root / "data").mkdir()
    features = {
        name: {"dtype": "image" if array.ndim == 4 else str(array.dtype), "shape": array.shape[1:]}
        for name, array in (OBSERVED | FIELDS).items()
    }
    info = {
        "codebase_version": "v2.0",
        "fps": 10,
        "total_episodes": len(LENGTHS),
        "features": features | {"language": {"dtype": "words", "shape": [1]}},
        "data_path": "data/{episode_index:03d}.parquet",
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    lines = [{"episode_index": i, "length": n} for i, n in enumerate(LENGTHS)]
    (root / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for index, episode in enumerate(each_episode()):
        columns = {
            name: [{"bytes": png(image), "path": None} for image in array]
            if array.ndim == 4
            else array.tolist()
            for name, array in episode.items()
        }
        columns["episode_index"] = [index] * LENGTHS[index]
        pq.write_table(pa.table(columns), root / f"data/{index:03d}.parquet")
    return root


FORMATS = {
    "npz files": ("arrays", npz_files, {}),
    "flat npz": ("arrays", flat_npz, {"end_keys": ("stop",)}),
    "flat hdf5": ("arrays", flat_hdf5, {"end_keys": ("stop",)}),
    "robomimic": ("robomimic", robomimic, {}),
    "lerobot": ("lerobot", lerobot, {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_all_can_be_named_in_every_format(tmp_path: Path, name: str) -> None:
    form, write, ends = FORMATS[name]
    source = write(tmp_path / "in")
    options = ImportOptions(**{**vars(OPTIONS), **ends})
    report = import_data(form, source, tmp_path / "out", options)
    data = load_dataset(tmp_path / "out")
    assert data.content_hash == expected().content_hash
    assert report.choice.flattened == {"robot0_hands": (2, 2)}
    assert {"wrist_image"} <= set(report.choice.left_out)
    assert data.metadata["import"]["taken"] == {
        "image": "agentview_image",
        "proprio": ["robot0_hands", "robot0_eef_pos", "robot0_open"],
        "actions": "abs_actions",
        "rewards": "score",
        "success": "won",
    }
    told = {"stop": 3} if ends else {"the end of the arrays": 3} if form == "arrays" else {}
    assert data.metadata["import"]["episode_ends"] == report.ends == told


@pytest.mark.parametrize("name", FORMATS)
def test_one_error_asks_for_all_that_cannot_be_guessed(tmp_path: Path, name: str) -> None:
    form, write, _ = FORMATS[name]
    source = write(tmp_path / "in")
    with pytest.raises(DataError) as caught:
        import_data(form, source, tmp_path / "out")
    told = str(caught.value)
    for words in ("action_key (--action-key)", "image_key (--image-key)", *OBSERVED, *FIELDS):
        assert words in told
    with pytest.raises(DataError, match=r"vector_keys \(--vector-keys\)"):
        import_data(form, source, tmp_path / "out", ImportOptions(image=False))
    for option in ("action_key", "reward_key", "success_key", "image_key", "vector_keys"):
        with pytest.raises(ParrotError, match=r"Unknown .*'robot0_eef_po'"):
            import_data(
                form,
                source,
                tmp_path / "out",
                ImportOptions(**{**vars(OPTIONS), option: "robot0_eef_po"}),
            )
    if form != "arrays":
        with pytest.raises(InvalidArgumentError, match="keeps its episodes apart"):
            import_data(form, source, tmp_path / "out", ImportOptions(end_keys="stop"))


def test_names_in_memory_are_the_same() -> None:
    assert dataset_from_arrays(each_episode(), OPTIONS).content_hash == expected().content_hash
    flat = {"stop": flags(), **OBSERVED, **FIELDS}
    named = ImportOptions(**{**vars(OPTIONS), "end_keys": "stop"})
    for given in (flat, [flat]):
        assert dataset_from_arrays(given, named).content_hash == expected().content_hash


def test_mappings_within_are_named_as_paths() -> None:
    given = [
        {
            "obs": {"pos": np.zeros((4, 3)), "grip": np.arange(4)},
            "next_obs": {"pos": np.ones((4, 3)), "grip": np.arange(1, 5)},
            "actions": np.eye(4)[:, :2],
        }
    ]
    data = dataset_from_arrays(given, ImportOptions(vector_keys=("obs/grip", "obs/pos")))
    assert data.observations["state"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert data.observations["state"][-1].tolist() == [4, 1, 1, 1]
    with pytest.raises(DataError, match="which vector to take of obs/pos, obs/grip"):
        dataset_from_arrays(given)


def at(*steps: int) -> np.ndarray:
    return np.isin(np.arange(10), steps)


def flat(**more) -> dict[str, np.ndarray]:
    rows = np.arange(30.0).reshape(10, 3)
    return {"observations": rows, "actions": rows[:, :2] / 30, **more}


PAIRS = np.concatenate([flat()["observations"][1:], np.full((1, 3), 99.0)])
PAIRS[[3, 6]] = [[33.0] * 3, [66.0] * 3]


@pytest.mark.parametrize(
    ("arrays", "options", "lengths", "told"),
    [
        ({"terminals": at(3), "timeouts": at(9)}, {}, [4, 6], {"terminals, timeouts": 2}),
        ({"terminals": at(3, 9), "timeouts": at(3)}, {}, [4, 6], {"terminals, timeouts": 2}),
        ({"terminals": at(4, 9)[:, None] * 1.0}, {}, [5, 5], {"terminals": 2}),
        ({"terminals": at(4, 9), "qpos": np.eye(10), "qvel": np.eye(10)}, {}, [5, 5], None),
        ({"terminations": at(1), "truncations": at(9)}, {}, [2, 8], None),
        ({"dones": at(3)}, {}, [4, 6], {"dones": 1, "the end of the arrays": 1}),
        ({"dones": at(3, 9), "success": True}, {}, [10], {"the end of the arrays": 1}),
        ({"dones": at(3, 9), "lengths": [6, 4]}, {}, [6, 4], {"lengths": 2}),
        ({"dones": at(3, 9), "lengths": [6, 4]}, {"end_keys": "dones"}, [4, 6], {"dones": 2}),
        ({"dones": at(3, 4)}, {"end_keys": ("dones",)}, [4, 1, 5], None),
        ({"dones": at(3, 4)}, {"one_episode": True}, [10], {"the end of the arrays": 1}),
        ({}, {"one_episode": True}, [10], {"the end of the arrays": 1}),
        ({"stop": at(0, 9)}, {"end_keys": ("stop",)}, [1, 9], {"stop": 2}),
        ({"terminals": at(3, 6, 9), "next_observations": PAIRS}, {}, [4, 3, 3], None),
        ({"terminals": at(9), "infos": np.array([{}] * 10), "task": ["a"] * 10}, {}, [10], None),
        ({"dones": at(3, 9), "observations": np.zeros((12, 3))}, {"end_keys": "dones"}, [4, 6], {}),
        ({"terminals": at(9), "observations": np.zeros((10, 1, 3))}, {}, [10], None),
    ],
)
def test_ends_of_flat_arrays(tmp_path: Path, arrays, options, lengths, told) -> None:
    in_memory = dataset_from_arrays(flat(**arrays), ImportOptions(**options))
    np.savez(tmp_path / "flat.npz", **flat(**arrays))
    report = import_data(
        "arrays", tmp_path / "flat.npz", tmp_path / "out", ImportOptions(**options)
    )
    data = load_dataset(tmp_path / "out")
    assert data.content_hash == in_memory.content_hash
    assert data.lengths.tolist() == lengths
    assert report.ends == told or not told
    assert report.choice.vectors == ("observations",)


def test_the_observation_after_the_last_action() -> None:
    taken = flat(terminals=at(3, 6, 9), next_observations=PAIRS)
    data = dataset_from_arrays(taken)
    assert [data.episode(i).observations["state"][-1, 0] for i in range(3)] == [33, 66, 99]
    assert data.metadata["import"]["last_observation_repeated"] == 0
    del taken["next_observations"]
    data = dataset_from_arrays(taken)
    assert [data.episode(i).observations["state"][-1, 0] for i in range(3)] == [9, 18, 27]
    assert data.metadata["import"]["last_observation_repeated"] == 3


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({}, {}, "nothing tells where the episodes of 10 steps end"),
        ({"stop": at(9)}, {}, r"nothing tells.*Found: .*stop \(\) bool"),
        ({"terminals": at(), "timeouts": at()}, {}, "terminals, timeouts never true"),
        ({"stop": at()}, {"end_keys": "stop"}, "stop never true"),
        ({"dones": at(7, 8, 9)}, {}, "dones is true at step 7 and at the next"),
        ({"terminals": at(6, 9), "next_observations": PAIRS}, {}, "of step 3 is not .*terminals"),
        ({"next_observations": PAIRS}, {}, r"unmarked by flags \(2 such"),
        ({"timeouts": np.zeros(9)}, {}, r"'timeouts' to have 0 or 1 for each of 10 .*\(9,\)"),
        ({"timeouts": np.arange(10)}, {}, "'timeouts' to have 0 or 1"),
        ({"timeouts": True}, {}, r"'timeouts' to have 0 or 1 .*\(\)"),
        ({"stop": np.ones((10, 2))}, {"end_keys": "stop"}, "'stop' to have 0 or 1"),
        ({"dones": at(9)}, {"end_keys": "done"}, "Unknown end_keys 'done'. Did you mean 'dones'"),
        ({"terminals": at(9), "observations": np.zeros((10, 7, 2))}, {}, "--vector-keys"),
        ({"terminals": at(9), "action": np.eye(10)}, {}, "the actions of actions, action: name"),
        ({"terminals": at(2, 9), "observations": np.zeros((9, 3))}, {}, "'observations' to have"),
    ],
)
def test_ends_that_nothing_tells(tmp_path: Path, arrays, options, message) -> None:
    with pytest.raises(ParrotError, match=message):
        dataset_from_arrays(flat(**arrays), ImportOptions(**options))
    np.savez(tmp_path / "flat.npz", **flat(**arrays))
    with pytest.raises(ParrotError, match=message):
        import_data("arrays", tmp_path / "flat.npz", tmp_path / "out", ImportOptions(**options))
    assert not (tmp_path / "out").exists()


def test_actions_of_two_axes(tmp_path: Path) -> None:
    arms = np.linspace(-1, 1, 40).reshape(10, 2, 2)
    data = dataset_from_arrays({**flat(terminals=at(9)), "actions": arms})
    np.testing.assert_array_equal(data.actions, np.float32(arms.reshape(10, 4)))
    assert data.metadata["import"]["flattened"] == {"actions": [2, 2]}


def test_arrays_in_groups_of_hdf5(tmp_path: Path) -> None:
    root = tmp_path / "episodes"
    root.mkdir()
    for index in range(2):
        with h5py.File(root / f"episode_{index}.hdf5", "w") as file:
            file["action"] = np.full((4, 2), index / 2)
            file["observations/qpos"] = np.full((4, 3), index)
            file["observations/images/top"] = np.full((4, 16, 16, 3), index, np.uint8)
            file["observations/images/wrist"] = np.zeros((4, 16, 16, 3), np.uint8)
    options = ImportOptions(
        image_key="observations/images/top",
        vector_keys="observations/qpos",
        action_low=(-1.0,),
        action_high=(1.0,),
    )
    report = import_data("arrays", root, tmp_path / "out", options)
    assert report.ends == {"the end of the arrays": 2}
    assert (
        load_dataset(tmp_path / "out").observations["proprio"][:, 0].tolist() == [0] * 5 + [1] * 5
    )
    with h5py.File(root / "episode_1.hdf5", "a") as file:
        file["other"] = h5py.ExternalLink("episode_0.hdf5", "action")
    with pytest.raises(DataFileError, match="other is a link to another file"):
        import_data("arrays", root, tmp_path / "again", options)


def test_flat_arrays_for_robomimic_say_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="format arrays"):
        import_data("robomimic", flat_hdf5(tmp_path / "in"), tmp_path / "out")


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    source = npz_files(tmp_path / "in")
    (source / "._0.npz").write_bytes(b"Mac OS X")
    (source / ".DS_Store").write_bytes(b"Bud1")
    import_data("arrays", source, tmp_path / "out", OPTIONS)
    assert load_dataset(tmp_path / "out").content_hash == expected().content_hash


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_lerobot_folders_that_were_on_other_systems(tmp_path: Path, version: str) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("PIL")
    root = tmp_path / "in"
    write_lerobot(root, version, images="image")
    import_data("lerobot", root, tmp_path / "plain")
    for path in root.rglob("*.parquet"):
        (path.parent / f"._{path.name}").write_bytes(b"Mac OS X")
        (path.parent / ".DS_Store").write_bytes(b"Bud1")
    for number, (end, encoding) in enumerate(
        [("\r\n", "utf-8"), ("\n", "utf-8-sig"), ("\r", "utf-8"), ("\r\n\r\n", "utf-16")]
    ):
        for path in (root / "meta").glob("[!.]*.json*"):
            content = path.read_bytes()
            text = content.decode(json.detect_encoding(content)).replace("lift", "a\u2028b\x85c")
            lines = [line for line in text.replace("\r", "\n").split("\n") if line]
            path.write_bytes(end.join([*lines, ""]).encode(encoding))
        import_data("lerobot", root, tmp_path / f"out-{number}")
        data = load_dataset(tmp_path / f"out-{number}")
        assert data.content_hash == load_dataset(tmp_path / "plain").content_hash


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_cameras_that_are_not_wanted_may_be_missing(tmp_path: Path, version: str) -> None:
    pytest.importorskip("av")
    pytest.importorskip("pyarrow")
    root = tmp_path / "in"
    write_lerobot(root, version, images="video")
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    camera = "observation.images.top"
    info["features"]["observation.images.wrist"] = info["features"][camera]
    path.write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"which image .*wrist.*one or several.*--image-key"):
        import_data("lerobot", root, tmp_path / "out")
    import_data("lerobot", root, tmp_path / "out", ImportOptions(image_key=camera))
    assert load_dataset(tmp_path / "out").observations["image"].shape == (15, 48, 64, 3)
    with pytest.raises(DataFileError, match="wrist"):
        import_data(
            "lerobot", root, tmp_path / "o", ImportOptions(image_key="observation.images.wrist")
        )


def test_openpis_layout_is_guessed_as_far_as_it_can_be(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("PIL")
    root = lerobot(tmp_path / "in")
    names = {"agentview_image": "image", "robot0_eef_pos": "state", "abs_actions": "actions"}
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"] = {names.get(k, k): v for k, v in info["features"].items()}
    path.write_text(json.dumps(info))
    for path in (root / "data").iterdir():
        table = pq.read_table(path)
        pq.write_table(table.rename_columns([names.get(k, k) for k in table.column_names]), path)
    report = import_data("lerobot", root, tmp_path / "image")
    assert (report.choice.image, report.choice.action) == ("image", "actions")
    assert {"state", "wrist_image"} <= set(report.choice.left_out)
    report = import_data("lerobot", root, tmp_path / "state", ImportOptions(image=False))
    assert report.choice.vectors == ("state",)
    assert load_dataset(tmp_path / "state").content_hash != expected().content_hash


def test_the_rewards_of_some_demonstrations_count(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_robomimic(path, (3, 2), successes=[True, False])
    with h5py.File(path, "a") as file:
        del file["data/demo_0/rewards"]
    options = ImportOptions(image_key="agentview_image")
    report = import_data("robomimic", path, tmp_path / "out", options)
    assert (report.counts["success_unknown"], report.counts["dropped_as_failures"]) == (1, 1)
    by_dones = ImportOptions(image_key="agentview_image", success_key="dones")
    report = import_data("robomimic", path, tmp_path / "dones", by_dones)
    assert (report.counts["success_unknown"], report.counts["dropped_as_failures"]) == (0, 1)
