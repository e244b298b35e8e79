"""RL Baselines3 Zoo from its own command line: train with a prior, watch, and film."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec

pytest.importorskip("rl_zoo3")

ENV = ["--algo", "sac", "--env", "ParrotGraspCup-v0"]
OURS = ["--gym-packages", "parrot_envs"]


def zoo(folder: Path, module: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_train_enjoy_and_record_with_the_shipped_settings(tmp_path):
    few = ["-n", "75", "-params", "learning_starts:50", "--eval-freq", "50"]
    few += ["--eval-episodes", "1", "--n-eval-envs", "1", "--device", "cpu", "--num-threads", "1"]
    told = zoo(
        tmp_path,
        "rl_zoo3.train",
        *ENV,
        *OURS,
        *few,
        *("--conf-file", "parrot_wrapper.rl_zoo.sac", "--log-folder", "logs"),
    )
    assert "parrot_wrapper.BehavioralPriorWrapper" in told
    assert "success_rate" in told
    run = tmp_path / "logs" / "sac" / "ParrotGraspCup-v0_1"
    assert (run / "ParrotGraspCup-v0.zip").is_file() and (run / "best_model.zip").is_file()

    told = zoo(tmp_path, "rl_zoo3.enjoy", *ENV, *OURS, "-f", "logs", "-n", "25", "--no-render")
    assert "Success rate" in told

    zoo(tmp_path, "parrot_wrapper.rl_zoo", "record_video", *OURS, *ENV, "-f", "logs", "-n", "5")
    assert list(run.glob("videos/*.mp4"))


YAML = """\
Pendulum-v1:
  env_wrapper:
    - parrot_wrapper.BehavioralPriorWrapper:
        prior: prior
        observation: features
  policy: MlpPolicy
  n_timesteps: 60
  learning_starts: 30
  target_entropy: -2.0
  policy_kwargs: "dict(net_arch=[8])"
"""


@pytest.mark.parametrize("algorithm", ["sac", "tqc"])
def test_an_env_and_a_prior_of_ones_own_from_yaml(algorithm, tmp_path):
    low, high = (-2.0,), (2.0,)
    config = FlowPriorConfig(
        ObservationSpec(state=3), 1, encoder="state", action_low=low, action_high=high
    )
    FlowPrior(config).save(tmp_path / "prior")
    (tmp_path / "own.yml").write_text(YAML, encoding="utf-8")
    args = ["--algo", algorithm, "--env", "Pendulum-v1", "--conf-file", "own.yml"]
    zoo(tmp_path, "rl_zoo3.train", *args, "--eval-freq", "-1", "--device", "cpu", "-f", "logs")
    assert (tmp_path / "logs" / algorithm / "Pendulum-v1_1" / "Pendulum-v1.zip").is_file()
