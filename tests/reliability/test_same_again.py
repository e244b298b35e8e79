"""Seeds decide whole runs, in any process; several priors and writers do not mix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.data import load_dataset
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.priors import load_prior
from parrot_wrapper.training.prior import fit_prior
from tests.helpers import AffinePrior, EchoEnv
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
        with pytest.raises(DataFileError, match="another process is at work"):
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
