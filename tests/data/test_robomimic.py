"""robomimic's HDF5 layout; and HDF5 files that reach out of themselves or claim too much."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.exchange import ImportOptions, import_data
from parrot_wrapper.errors import DataError, DataFileError
from parrot_wrapper.training.prior import keys_fact
from parrot_wrapper.types import IMPORTED_KEYS_FACT, ObservationSpec
from tests.data.foreign_folders import write_robomimic

FRONT = ImportOptions(
    image_key="agentview_image", vector_keys=("robot0_eef_pos", "robot0_gripper_qpos")
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "demo.hdf5"


def test_demonstrations_come_back(tmp_path: Path, source: Path) -> None:
    demos = write_robomimic(source, (3, 1, 5), successes=[True, False, True])
    report = import_data("robomimic", source, tmp_path / "out", FRONT)
    assert report.counts["dropped_as_failures"] == 1
    assert report.counts["last_observation_repeated"] == 0
    assert report.choice.left_out == ("robot0_eye_in_hand_image",)
    data = load_dataset(tmp_path / "out")
    for index, demo in enumerate([demos[0], demos[2]]):
        found = data.episode(index)
        np.testing.assert_array_equal(found.observations["image"], demo["image"])
        joined = np.concatenate([demo["eef"], demo["gripper"]], axis=1)
        np.testing.assert_array_equal(found.observations["proprio"], joined.astype(np.float32))
        np.testing.assert_array_equal(found.actions, demo["actions"].astype(np.float32))
        np.testing.assert_array_equal(found.rewards, demo["rewards"])
    assert data.metadata["settings"] == {"env_id": "Lift", "env_kwargs": {"robots": ["Panda"]}}
    assert [edge.tolist() for edge in data.action_bounds] == [[-1.0] * 7, [1.0] * 7]


def test_several_cameras_keep_their_names(tmp_path: Path, source: Path) -> None:
    demos = write_robomimic(source, (3, 2))
    cameras = ("agentview_image", "robot0_eye_in_hand_image")
    options = ImportOptions(image_key=cameras, vector_keys=("robot0_eef_pos",))
    report = import_data("robomimic", source, tmp_path / "out", options)
    assert report.choice.left_out == ("robot0_gripper_qpos",)
    data = load_dataset(tmp_path / "out")
    images = {"agentview_image": (32, 40, 3), "robot0_eye_in_hand_image": (32, 32, 3)}
    assert data.observation_spec == ObservationSpec(proprio=3, cameras=images)
    for ours, name in zip(("image", "wrist"), cameras, strict=True):
        np.testing.assert_array_equal(data.episode(1).observations[name], demos[1][ours])
    assert keys_fact(data)[IMPORTED_KEYS_FACT] == {
        **{name: name for name in cameras},
        "proprio": ["robot0_eef_pos"],
    }
    sized = ImportOptions(image_key=cameras, image_size=(16, 24))
    import_data("robomimic", source, tmp_path / "sized", sized)
    shapes = load_dataset(tmp_path / "sized").observation_spec.images.values()
    assert set(shapes) == {(16, 24, 3)}


def test_order_is_by_number(tmp_path: Path, source: Path) -> None:
    demos = write_robomimic(source, (1,) * 11)
    import_data("robomimic", source, tmp_path / "out", FRONT)
    found = load_dataset(tmp_path / "out").actions
    np.testing.assert_array_equal(found, np.float32([demo["actions"][0] for demo in demos]))


def test_without_next_observations_the_last_is_repeated(tmp_path: Path, source: Path) -> None:
    demos = write_robomimic(source, (3,))
    with h5py.File(source, "a") as file:
        del file["data/demo_0/next_obs"]
    report = import_data("robomimic", source, tmp_path / "out", FRONT)
    assert report.counts["last_observation_repeated"] == 1
    images = load_dataset(tmp_path / "out").observations["image"]
    np.testing.assert_array_equal(images[:3], demos[0]["image"][:3])
    np.testing.assert_array_equal(images[3], demos[0]["image"][2])


def test_all_failures_is_an_error_that_helps(tmp_path: Path, source: Path) -> None:
    write_robomimic(source, (3, 2), successes=[False, False])
    with pytest.raises(DataError, match="All 2 were dropped as failures.*--keep all"):
        import_data("robomimic", source, tmp_path / "out", FRONT)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.hdf5"]


def test_success_is_unknown_without_rewards(tmp_path: Path, source: Path) -> None:
    write_robomimic(source, (3, 2))
    with h5py.File(source, "a") as file:
        for name in ("demo_0", "demo_1"):
            del file[f"data/{name}/rewards"]
    report = import_data("robomimic", source, tmp_path / "out", FRONT)
    assert (report.counts["kept"], report.counts["success_unknown"]) == (2, 2)


def test_cycles_of_links_end(tmp_path: Path, source: Path) -> None:
    write_robomimic(source, (3,))
    with h5py.File(source, "a") as file:
        file["data/loop"] = file["/"]
        file["data/demo_0/obs/again"] = h5py.SoftLink("/data/demo_0/obs")
        del file["data/loop"]
        file["loop"] = file["data"]
        file["data/demo_0/self"] = file["data/demo_0"]
    import_data("robomimic", source, tmp_path / "out", FRONT)


def test_odd_env_args_are_no_reason_to_refuse(tmp_path: Path, source: Path) -> None:
    write_robomimic(source, (3,))
    for index, text in enumerate(["{", "[]", json.dumps({"env_name": None})]):
        with h5py.File(source, "a") as file:
            file["data"].attrs["env_args"] = text
        import_data("robomimic", source, tmp_path / f"out-{index}", FRONT)


def test_what_is_no_hdf5(tmp_path: Path, source: Path) -> None:
    with pytest.raises(DataFileError, match="robomimic HDF5 file, found none"):
        import_data("robomimic", source, tmp_path / "out")
    source.write_bytes(b"not HDF5")
    with pytest.raises(DataFileError, match="an HDF5 file, whole and unaltered"):
        import_data("robomimic", source, tmp_path / "out")


def test_altered_bytes_are_typed_errors_or_data(tmp_path: Path, source: Path) -> None:
    write_robomimic(source, (2, 1))
    content = source.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for attempt in range(60):
        altered = bytearray(content)
        for _ in range(3):
            altered[rng.integers(len(content))] ^= 1 << rng.integers(8)
        source.write_bytes(altered)
        try:
            import_data("robomimic", source, tmp_path / f"out-{attempt}", FRONT)
        except (DataError, DataFileError):
            refused += 1
    assert refused > 2


def chunked(steps: int):
    """Actions that claim to be so many, without any of them on disk."""
    return lambda demo, _: demo.create_dataset("actions", (steps, 7), "f4", chunks=(1000, 7))


def virtual(demo: h5py.Group, secret: Path) -> None:
    layout = h5py.VirtualLayout((3, 7), "f8")
    layout[:] = h5py.VirtualSource(secret, "numbers", (3, 7))
    demo.create_virtual_dataset("actions", layout)


ACTIONS = {
    "a link": (
        lambda demo, to: demo.__setitem__("actions", h5py.ExternalLink(to, "numbers")),
        r"data/demo_0/actions is a link to another file",
    ),
    "another file": (
        lambda demo, secret: demo.create_dataset(
            "actions", (3, 7), "f8", external=[(secret, 0, 168)]
        ),
        r"data/demo_0/actions keeps its values in other files",
    ),
    "virtual": (virtual, r"data/demo_0/actions keeps its values in other files"),
    "a bomb": (chunked(10**8), r"actions claims 2800000000 bytes, of which only 0 are there"),
    "a big bomb": (chunked(2**62), r"actions claims \d+ bytes .* at most"),
    "words": (
        lambda demo, _: demo.__setitem__("actions", ["a", "b", "c"]),
        r"actions: expected an array of numbers, got dtype object",
    ),
    "nothing": (lambda demo, _: None, r"actions: expected an array of numbers, got NoneType"),
}
LACKING = {
    "data/demo_0/obs": r"demo_0 has no observations.*dataset_states_to_obs",
    "data": r"expected a group 'data'.*got an empty file",
    "data/demo_0 data/demo_1": r"expected groups data/demo_0",
}


@pytest.mark.parametrize("what", [*ACTIONS, *LACKING])
def test_files_that_are_not_what_they_seem(tmp_path: Path, source: Path, what: str) -> None:
    write_robomimic(source, (3, 2))
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.zeros((3, 7))
    with h5py.File(source, "a") as file:
        for name in ["data/demo_0/actions"] if what in ACTIONS else what.split():
            del file[name]
        if what in ACTIONS:
            ACTIONS[what][0](file["data/demo_0"], str(secret))
    message = LACKING[what] if what in LACKING else ACTIONS[what][1]
    with pytest.raises((DataError, DataFileError), match=message):
        import_data("robomimic", source, tmp_path / "out", FRONT)
    assert not (tmp_path / "out").exists()
