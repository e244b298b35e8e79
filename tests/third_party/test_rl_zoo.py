"""RL Baselines3 Zoo from its own command line: train with a prior, watch, and film."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from parrot_wrapper import FlowPrior, FlowPriorConfig, ObservationSpec

pytest.importorskip("rl_zoo3")

PAGE = Path(__file__).parents[2] / "docs" / "other-projects.md"
TOOLS = PAGE.with_name("tools.md")
SMALL = {
    "rl_zoo3.train": "-n 75 -params learning_starts:50 --eval-freq 50 --eval-episodes 1 "
    "--n-eval-envs 1 --device cpu --num-threads 1",
    "rl_zoo3.enjoy": "-n 25 --no-render --device cpu",
    "parrot_wrapper.rl_zoo": "-n 5",
}


def block(kind: str) -> str:
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return str(found)


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


def test_train_enjoy_and_record_as_the_page_says(tmp_path):
    told = {}
    for line in block("bash").splitlines():
        _, _, module, *args = shlex.split(line)
        told[module] = zoo(tmp_path, module, *args, *SMALL[module].split())
    assert "parrot_wrapper.BehavioralPriorWrapper" in told["rl_zoo3.train"]
    assert "success_rate" in told["rl_zoo3.train"]
    assert "Success rate" in told["rl_zoo3.enjoy"]
    run = tmp_path / "logs" / "sac" / "ParrotGraspCup-v0_1"
    assert (run / "ParrotGraspCup-v0.zip").is_file() and (run / "best_model.zip").is_file()
    assert list(run.glob("videos/*.mp4"))


@pytest.mark.parametrize("algorithm", ["sac", "tqc"])
def test_an_env_and_a_prior_of_ones_own_from_yaml(algorithm, tmp_path):
    low, high = (-2.0,), (2.0,)
    config = FlowPriorConfig(
        ObservationSpec(state=3), 1, encoder="state", action_low=low, action_high=high
    )
    FlowPrior(config).save(tmp_path / "runs" / "pendulum" / "prior")
    (tmp_path / "own.yml").write_text(block("yaml"), encoding="utf-8")
    args = ["--algo", algorithm, "--env", "Pendulum-v1", "--conf-file", "own.yml"]
    few = ["-n", "60", "-params", "learning_starts:30", "--eval-freq", "-1", "--device", "cpu"]
    zoo(tmp_path, "rl_zoo3.train", *args, *few, "-f", "logs")
    assert (tmp_path / "logs" / algorithm / "Pendulum-v1_1" / "Pendulum-v1.zip").is_file()


def test_optuna_searches_budget_chart_and_observation(tmp_path):
    page = "\n".join(re.findall(r"```bash\n(.*?)```", TOOLS.read_text(encoding="utf-8"), re.S))
    [line] = [line for line in page.splitlines() if "-optimize" in line]
    _, _, module, *args = shlex.split(line)
    few = "--n-trials 2 -n 75 --n-startup-trials 1 --n-evaluations 1 --eval-episodes 1 --device cpu"
    small = ["-params", "learning_starts:50", "batch_size:16", "buffer_size:100"]
    told = zoo(tmp_path, module, *args, *few.split(), *small)
    assert told.count("finished with value") == 2 or len(list(tmp_path.rglob("report_*.csv"))) == 1
    [report] = tmp_path.rglob("report_*.csv")
    head, *rows = report.read_text().splitlines()
    assert {"params_kl", "params_latent", "params_observation"} <= set(head.split(","))
    assert len(rows) == 2 and all("COMPLETE" in row for row in rows)
