"""A full disk or a read-only folder: one typed error, nothing lost, and it goes on with room."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from parrot_wrapper.cli import main
from parrot_wrapper.data import load_dataset, save_dataset
from parrot_wrapper.errors import WriteError
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.rows import append_row, read_rows
from parrot_wrapper.io.atomic_files import atomic_folder, clear_strays
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.rl.checkpoint import list_checkpoints
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.types import ObservationSpec
from tests.loaders.specimens import a_row, toy_data
from tests.training.test_prior_training import QUICK, state_data, state_prior
from tests.training.toy_rl import toy_config, toy_train

FULL = "cannot be written: (the disk is full|it would be larger)"


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """The kernel refuses to write more into any file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk is full when whole files are brought to it for the so-manieth time, and then on."""
    real, left = os.fsync, [calls]

    def fsync(stream: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(stream)

    with monkeypatch.context() as patched:
        patched.setattr("parrot_wrapper.io.atomic_files.os.fsync", fsync)
        yield


def content(folder: Path) -> dict[str, bytes]:
    """All files but those that a lock leaves."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def large_prior(hidden: int = 64) -> FlowPrior:
    config = FlowPriorConfig(ObservationSpec(state=4), 2, "state", hidden=hidden)
    return FlowPrior(config)


def test_a_prior_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    large_prior(8).save(tmp_path / "prior")
    before = content(tmp_path)
    with files_of_at_most(20_000), pytest.raises(WriteError, match=FULL):
        large_prior().save(tmp_path / "prior")
    assert content(tmp_path) == before
    large_prior().save(tmp_path / "prior")
    assert load_prior(tmp_path / "prior").config.hidden == 64


def test_data_that_do_not_fit(tmp_path: Path) -> None:
    with files_of_at_most(1_000), pytest.raises(WriteError, match=FULL):
        save_dataset(toy_data(), tmp_path)
    assert content(tmp_path) == {}
    save_dataset(toy_data(), tmp_path)
    assert load_dataset(tmp_path).content_hash == toy_data().content_hash


def test_a_row_that_does_not_fit_leaves_the_others(tmp_path: Path) -> None:
    grid = Grid("mine", "quick", ("Toy-v0",), ("sac",), rl_seeds=(0, 1))
    append_row(tmp_path, a_row(grid, 0))
    size = (tmp_path / "rows.jsonl").stat().st_size
    with files_of_at_most(size + 50), pytest.raises(WriteError, match=FULL):
        append_row(tmp_path, a_row(grid, 1))
    assert [row.rl_seed for row in read_rows(tmp_path)] == [0]
    append_row(tmp_path, a_row(grid, 1))
    assert [row.rl_seed for row in read_rows(tmp_path)] == [0, 1]


def test_training_of_a_prior_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, resumed = state_prior(), state_prior()
    fit_prior(expected, state_data(), QUICK, progress=False)
    with full_after(1, monkeypatch), pytest.raises(WriteError, match=FULL):
        fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)
    assert (tmp_path / "checkpoint.safetensors").is_file()
    fit_prior(resumed, state_data(), QUICK, run_folder=tmp_path, progress=False)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


def test_rl_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config()
    expected = toy_train(config, tmp_path / "unbroken")
    # settings and two logs, then the three files of the first checkpoint, then none of the second
    with full_after(7, monkeypatch), pytest.raises(WriteError, match=FULL):
        toy_train(config, tmp_path / "run")
    [checkpoint] = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoint.name == "step-000000060"
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    resumed = toy_train(config, tmp_path / "run")
    for ours, theirs in zip(resumed.policy.parameters(), expected.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_log_that_does_not_fit_is_a_typed_error_too(tmp_path: Path) -> None:
    with files_of_at_most(300), pytest.raises(WriteError, match=FULL):
        toy_train(toy_config(checkpoint_every=0), tmp_path)
    assert toy_train(toy_config(checkpoint_every=0), tmp_path).num_timesteps == 120


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, for whom no folder is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


USES: dict[str, Callable[[Path], Any]] = {
    "save a prior": lambda folder: large_prior(8).save(folder / "prior"),
    "save data": lambda folder: save_dataset(toy_data(), folder),
    "append a row": lambda folder: append_row(
        folder, a_row(Grid("a", "b", ("Toy-v0",), ("sac",)), 0)
    ),
    "train": lambda folder: toy_train(toy_config(), folder),
    "train in a new folder": lambda folder: toy_train(toy_config(), folder / "run"),
    "fit": lambda folder: fit_prior(
        state_prior(), state_data(), QUICK, run_folder=folder, progress=False
    ),
    "collect": lambda folder: collect(
        ExpertSource("Reach-v0", gym_packages=("tests.expert_env",)), n_episodes=1, folder=folder
    ),
}


@pytest.mark.parametrize("use", USES)
def test_read_only_folders(use: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # whose parents everyone may look into
        folder = Path(name) / "shelf"
        folder.mkdir()
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        refused = pytest.raises(WriteError, match="may not write there.*choose another folder")
        with as_nobody(), refused:
            USES[use](folder)
        assert content(folder) == {}
        folder.chmod(0o755)


def test_the_command_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "data")
    save_dataset(state_data(), data)
    words = ["--out", str(tmp_path / "out"), "--no-progress", "--steps", "2", "--batch-size", "4"]
    with files_of_at_most(5_000):
        assert main(["train-prior", "--data", data, *words]) == 2
    assert "cannot be written" in capsys.readouterr().err.strip().splitlines()[-1]


def test_what_a_kill_between_two_renames_left_is_undone(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "prior") as partial:
        (partial / "weights").write_text("old")
    os.replace(tmp_path / "prior", tmp_path / ".prior.abc.old")
    (tmp_path / ".prior.abc.partial").mkdir()
    (tmp_path / ".log.xyz.partial").touch()
    clear_strays(tmp_path)
    assert (tmp_path / "prior" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["prior"]
    (tmp_path / ".prior.def.old").mkdir()
    clear_strays(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["prior"]
