"""Seeds decide whole runs, in any process; several priors and writers do not mix."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.cli import main
from parrot_wrapper.data import load_dataset, save_dataset
from parrot_wrapper.errors import DataFileError, WriteError
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.rows import append_row, read_rows
from parrot_wrapper.io.atomic_files import atomic_folder, clear_strays
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.rl.checkpoint import list_checkpoints
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.types import ObservationSpec
from tests.helpers import AffinePrior, EchoEnv
from tests.loaders.specimens import a_row, toy_data
from tests.training.test_prior_training import QUICK, state_data, state_prior
from tests.training.toy_rl import toy_config, toy_train

ROOT = Path(__file__).parents[2]
WHOLE_RUN = """
import json, sys
from pathlib import Path
import torch
from parrot_wrapper.training.prior_run import weights_digest
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.rl.train import LOG_FILE
from tests.training.test_prior_training import QUICK, state_data, state_prior
from tests.training.toy_rl import toy_config, toy_train

torch.set_num_threads(1)
prior, folder = state_prior(), Path(sys.argv[1])
history = fit_prior(prior, state_data(), QUICK, progress=False).history
model = toy_train(toy_config(), folder)
clocks = ("seconds", "time/fps", "time/time_elapsed")
rows = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
rows = [{k: v for k, v in row.items() if k not in clocks} for row in (*history, *rows)]
print(json.dumps([rows, weights_digest(prior), weights_digest(model.policy)]))
"""


def test_seeds_reproduce_whole_trainings_in_fresh_processes(tmp_path: Path) -> None:
    """Logs and weights of a prior's and of an agent's training, bit for bit."""
    found = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", WHOLE_RUN, str(tmp_path / hash_seed)],
            capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    rows, *digests = found[0]
    assert found[0] == found[1]
    assert len(rows) > 3 and len(set(digests)) == 2


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    first, second = (toy_train(toy_config(seed=s), tmp_path / str(s)) for s in (0, 1))
    pairs = zip(first.policy.parameters(), second.policy.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_two_priors_in_one_process_do_not_mix() -> None:
    """Two wrapped envs in turns do what each does alone."""

    def wrapped(scale: float) -> BehavioralPriorWrapper:
        env = BehavioralPriorWrapper(EchoEnv(), AffinePrior(scale=scale), observation="both")
        env.reset(seed=3)
        return env

    u = np.array([0.3, -0.4], np.float32)
    alone = {}
    for scale in (0.1, 0.4):
        env = wrapped(scale)
        alone[scale] = [env.step(u)[4]["parrot/action"] for _ in range(4)]
    envs = {scale: wrapped(scale) for scale in alone}
    for step in range(4):
        for scale, env in envs.items():
            np.testing.assert_array_equal(env.step(u)[4]["parrot/action"], alone[scale][step])


def test_two_loaded_priors_are_apart(prior_folder: str) -> None:
    first, second = load_prior(prior_folder), load_prior(prior_folder)
    with torch.no_grad():
        for weight in first.parameters():
            weight.zero_()
    assert any(bool(weight.any()) for weight in second.parameters())


def test_one_writer_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parrot_wrapper.rl.train._PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr("parrot_wrapper.training.prior._PATIENCE_SECONDS", 0.2)
    with folder_lock(tmp_path):
        with pytest.raises(DataFileError, match=rf"another process.*{os.getpid()} on "):
            toy_train(toy_config(), tmp_path)
        with pytest.raises(DataFileError, match="another process is at work"):
            fit_prior(state_prior(), state_data(), QUICK, run_folder=tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


COLLECTOR = """
import sys
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.errors import DataFileError
if __name__ == "__main__":
    source = ExpertSource("Reach-v0", gym_packages=("tests.expert_env",), shard_attempts=4)
    try:
        collect(source, n_episodes=20, folder=sys.argv[1], workers=1, progress=False)
    except DataFileError as error:
        raise SystemExit(f"refused: {error}")
"""


def test_collectors_at_one_folder(tmp_path: Path) -> None:
    """One of them writes; who comes too early is told so; what is there is one collector's."""
    script = tmp_path / "collector.py"
    script.write_text(COLLECTOR)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(tmp_path / name)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    together = [start("shared") for _ in range(3)]
    told = [process.communicate()[1] for process in together]
    assert any(process.returncode == 0 for process in together), told
    for process, text in zip(together, told, strict=True):
        assert process.returncode == 0 or ("refused" in text and "another process" in text)
    alone = start("alone")
    assert alone.communicate()[1] is not None and alone.returncode == 0
    hashes = {load_dataset(tmp_path / name).content_hash for name in ("shared", "alone")}
    assert len(hashes) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_what_a_gpu_trained_runs_on_a_cpu(tmp_path: Path) -> None:
    prior = state_prior()
    settings = {**QUICK.to_dict(), "device": "cuda"}
    fit_prior(prior, state_data(), type(QUICK)(**settings), run_folder=tmp_path, progress=False)
    prior.save(tmp_path / "prior")
    moved = load_prior(tmp_path / "prior", device="cpu")
    states, z = np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)
    np.testing.assert_allclose(moved.decode(z, states), prior.decode(z, states), atol=1e-4)
    back = load_prior(tmp_path / "prior", device="cuda")
    np.testing.assert_allclose(back.decode(z, states), moved.decode(z, states), atol=1e-4)
    toy_train(toy_config(device="cuda", total_steps=60), tmp_path / "run")
    model = toy_train(toy_config(device="cpu"), tmp_path / "run")  # goes on where the GPU stopped
    assert model.num_timesteps == 120
    assert all(weight.device.type == "cpu" for weight in model.policy.parameters())


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
