"""Parts of a collection: each rank makes its own, and together they are what one call makes."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.gathering import gather, part_folder
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.record.collect import ExpertSource, collect

pytest.importorskip("parrot_envs")

SOURCE = ExpertSource("ParrotMultiTask-v0", gym_packages=("parrot_envs",), shard_attempts=2)


def make(folder: Path, n_episodes: int = 5, **options: int) -> None:
    collect(SOURCE, n_episodes=n_episodes, folder=folder, workers=1, progress=False, **options)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of two ranks; one of them is an element of a Slurm array."""
    folder = tmp_path_factory.mktemp("parts") / "data"
    make(folder, rank=0, world_size=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_ARRAY_TASK_ID", "8")
        patch.setenv("SLURM_ARRAY_TASK_MIN", "7")
        few = ["--episodes", "5", "--shard-attempts", "2", "--workers", "1", "--no-progress"]
        assert main(["collect", *few, "--world-size", "2", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def copied(parts: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(parts, tmp_path / "data"))


def test_ranks_make_what_one_call_makes(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, place in enumerate(part_folder(copied, rank, 2) for rank in (0, 1)):
        made = [int(path.stem[-6:]) for path in place.glob("shard-*.json")]
        assert made
        assert all(shard % 2 == index for shard in made)
        for path in place.iterdir():  # clocks of machines need not agree
            os.utime(path, (index * 2e9, index * 2e9))
    assert main(["data", "gather", str(copied)]) == 0
    assert "5 episodes" in capsys.readouterr().out
    make(tmp_path / "one")
    manifest = (tmp_path / "one" / "dataset.json").read_bytes()
    assert (copied / "dataset.json").read_bytes() == manifest
    for path in (tmp_path / "one").glob("shard-*"):
        assert (copied / path.name).read_bytes() == path.read_bytes()
    before = {path: path.stat().st_mtime_ns for path in copied.glob("shard-*")}
    gather(copied)  # again
    assert {path: path.stat().st_mtime_ns for path in copied.glob("shard-*")} == before
    assert load_dataset(copied).n_episodes == 5


def test_parts_from_other_disks(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    places = [part_folder(parts, rank, 2) for rank in (1, 0)]
    assert gather(tmp_path / "data", places, n_episodes=3).n_episodes == 3
    assert load_dataset(tmp_path / "data").n_episodes == 3


def test_a_rank_that_is_done_makes_nothing(copied: Path) -> None:
    before = sorted(copied.rglob("shard-*"))
    make(copied, rank=1, world_size=2)
    assert sorted(copied.rglob("shard-*")) == before


def lose_a_rank(folder: Path) -> None:
    shutil.rmtree(part_folder(folder, 1, 2))


def lose_all(folder: Path) -> None:
    lose_a_rank(folder)
    shutil.rmtree(part_folder(folder, 0, 2))


def damage(folder: Path) -> None:
    (part_folder(folder, 0, 2) / "shard-000000.h5").write_bytes(b"no")


def other_settings(folder: Path) -> None:
    lose_a_rank(folder)
    source = replace(SOURCE, noise=0.2)
    place = part_folder(folder, 1, 2)
    collect(source, n_episodes=1, folder=place, workers=1, progress=False)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose_a_rank, r"shard 1 is missing.*rank 1 of 2"),
        (lose_all, "found none"),
        (damage, r"part-00000-of-00002.*altered"),
        (other_settings, r"noise: 0\.2 there, 0\.1 given"),
    ],
)
def test_what_is_not_a_whole(copied: Path, harm: object, words: str) -> None:
    harm(copied)
    with pytest.raises(DataFileError, match=words):
        gather(copied)
    assert not (copied / "dataset.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--world-size", "2", "--rank", "2"], "0 ... 1 for 2 parts, got 2"),
        (["--world-size", "2"], "--rank 0 ... 1 beside"),
        (["--world-size", "0"], "world_size"),
    ],
)
def test_a_rank_that_is_none(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", "--out", str(tmp_path / "data"), *options]) != 0
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
