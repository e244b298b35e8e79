"""`parrot data`: what the page on own data says, line by line; what it shows; mistakes."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, contact_sheet, load_dataset, save_dataset
from parrot_wrapper.errors import DataError, InvalidArgumentError
from tests.data.foreign_folders import write_lerobot, write_robomimic

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"


def plain_folder(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
        np.savez(folder / f"{index}.npz", camera=images, actions=rng.uniform(-2, 2, (4, 3)))


def test_the_pages_commands(tmp_path: Path, monkeypatch, capsys) -> None:
    for name in ("minari", "pyarrow", "av", "PIL", "imageio"):
        pytest.importorskip(name)
    from tests.data.test_minari import written_by_minari

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    write_robomimic(Path("demo.hdf5"), (3, 2, 4), successes=[True, False, True])
    write_lerobot(Path("so100"), "v3.0", images="video")
    written_by_minari()
    plain_folder(Path("demos"))
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    told = {}
    for line in block.splitlines():
        program, *args = shlex.split(line)
        assert program == "parrot"
        assert main(args) == 0, capsys.readouterr().err
        told[" ".join(args[1:3])] = capsys.readouterr().out
    assert "datasets/lift: 2 episodes, 7 steps" in told["import robomimic"]
    assert "1 of 3 dropped as failures" in told["import robomimic"]
    assert "left out: robot0_eef_pos, robot0_eye_in_hand_image" in told["import robomimic"]
    assert "spanned by the actions" in told["import lerobot"]
    assert "3 have no observation after the last action" in told["import lerobot"]
    assert "3 of them say nothing of success" in told["import arrays"]
    assert "ends of episodes from: the end of the arrays (3)" in told["import arrays"]
    assert "taken: image from camera; actions from actions." in told["import arrays"]
    assert "rewards from rewards; success from success" in told["import minari"]
    assert "action box: given" in told["import arrays"]
    assert "me/lift-v0: 2 episodes, 7 steps" in told["export minari"]
    assert "image: (48, 48, 3) uint8" in told["show datasets/lift"]
    import imageio.v3 as imageio

    sheet = imageio.imread("lift.png")
    shown = contact_sheet(load_dataset("datasets/lift"))
    np.testing.assert_array_equal(sheet, shown)
    settings = json.loads(Path("datasets/lift/dataset.json").read_text())
    assert settings["facts"]["import"]["taken"]["image"] == "agentview_image"


def test_show(tmp_path: Path, capsys) -> None:
    actions = np.array([[-1.0, 0.5], [1.0, 0.5], [0.2, 0.5], [1.5, 0.5]])
    with pytest.warns(UserWarning):
        data = EpisodeDataset.from_arrays(
            np.zeros((6, 3)), actions, [1, 3], rewards=[0, 0, 0, 1], success=[False, True]
        )
    save_dataset(data, tmp_path / "data")
    assert main(["data", "show", str(tmp_path / "data")]) == 0
    told = capsys.readouterr().out
    assert "2 episodes, 4 steps; 1 to 3 in an episode" in told
    assert "successes: 50.0%" in told
    assert "rewards: 0.5 in an episode on average, 1 at most" in told
    assert "dimensions that never change: 1" in told
    assert "dimensions that leave the box: 0" in told
    assert "mostly on the box's edge: 0" in told


def test_unknown_rewards_are_not_shown_as_zero(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    plain_folder(Path("demos"))
    assert main(["data", "import", "arrays", "demos", "imported", "--no-progress"]) == 0
    arrays = (np.zeros((4, 3)), np.eye(3), [3])
    save_dataset(EpisodeDataset.from_arrays(*arrays), "silent")
    save_dataset(EpisodeDataset.from_arrays(*arrays, rewards=[0, 0, 0]), "zero")
    for folder, told in (("imported", "unknown"), ("silent", "unknown"), ("zero", "0 on every")):
        assert main(["data", "show", folder]) == 0
        assert f"rewards: {told}" in capsys.readouterr().out


def test_sheet() -> None:
    lengths = [1, 3, 6]
    images = np.arange(13, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 9, 3), np.uint8)
    data = EpisodeDataset.from_arrays(images, np.eye(10), lengths)
    sheet = contact_sheet(data.subset([1, 2]), episodes=9, frames=3)
    assert sheet.shape == (2 * 10 + 2, 3 * 11 + 2, 3)
    middles = sheet[6::10, 6::11, 0]
    assert middles.tolist() == [[2, 4, 5], [6, 9, 12]]
    assert contact_sheet(data, episodes=1, frames=1).shape == (12, 13, 3)
    with pytest.raises(InvalidArgumentError, match="got 0 and 8"):
        contact_sheet(data, episodes=0)
    with pytest.raises(DataError, match="got state only"):
        contact_sheet(EpisodeDataset.from_arrays(np.zeros((4, 3)), np.eye(3), [3]))
