"""The commands around RL and judging, in process, on the real envs with an untrained prior."""

import json
from pathlib import Path

import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.rl.logs import read_episodes

pytest.importorskip("pybullet")
import parrot_envs

ENV_ID = "ParrotGraspCup-v0"
SHORT = ["--total-steps", "50", "--episodes", "2", "--no-progress", "--device", "cpu"]


def test_train_then_evaluate(
    prior_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ENV_ID in parrot_envs.ENV_IDS
    run = tmp_path / "run"
    train = ["train", "--env-id", ENV_ID, "--prior", prior_folder, "--out", str(run), *SHORT]
    assert main([*train, "--kl", "3"]) == 0
    assert "success at end" in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    assert config["kl"] == 3.0
    assert config["env_kwargs"] == {"obs": "image_proprio"}
    assert main(["evaluate", "--run", str(run), "--episodes", "3", "--gif", "1"]) == 0
    assert json.loads((run / "evaluation.json").read_text())["success"]["episodes"] == 3
    assert (run / "rollouts.gif").is_file()
    capsys.readouterr()
    assert main([*train, "--kl", "2"]) == 2
    assert "other settings (kl: 3.0 there, 2.0 given)" in capsys.readouterr().err
    assert main(["evaluate", "--run", str(tmp_path)]) == 2


def test_plain_sac_needs_no_prior(tmp_path: Path) -> None:
    command = [
        "train",
        "--env-id",
        "Pendulum-v1",
        "--prior",
        "none",
        "--out",
        str(tmp_path),
        *SHORT,
    ]
    assert main([*command, "--kl", "0", "--gamma", "0.9"]) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["prior"], config["kl"], config["gamma"]) == (None, None, 0.9)


def test_prior_explore_trains_and_evaluates(prior_folder: str, tmp_path: Path) -> None:
    command = ["train", "--env-id", ENV_ID, "--prior", prior_folder, "--out", str(tmp_path)]
    assert main([*command, *SHORT, "--raw.explore", "0.9"]) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["raw_actions"] == {"kind": "raw", "explore": 0.9, "initial_actor": None}
    assert [row["env_steps"] for row in read_episodes(tmp_path)] == [25, 50]
    assert (tmp_path / "evaluation.json").is_file()


def test_eval_prior_leaves_table_json_film_and_picture(
    prior_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--episodes", "1", "--expert-episodes", "5", "--gif-episodes", "1"]
    command = ["eval-prior", "--prior", prior_folder, "--env-id", ENV_ID, "--out", str(tmp_path)]
    assert main([*command, *few, "--trajectories", "2", "--no-progress"]) == 0
    assert "## Probe" in capsys.readouterr().out
    judgement = json.loads((tmp_path / "judgement.json").read_text())
    assert judgement["env_id"] == ENV_ID
    assert set(judgement["skipped"]) == {"likelihood on data", "next keyframe"}
    for name in ("table.md", "samples.gif", "trajectories.png"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.slow
def test_demo_leaves_its_summary_and_goes_on_where_it_was(
    prior_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--steps", "100", "--episodes", "2", "--gif-episodes", "1", "--no-progress"]
    command = ["demo", "--prior", prior_folder, "--out", str(tmp_path), *few]
    assert main(command) == 0
    assert "plain SAC, same steps and features" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())
    parts = "task env_steps uniform prior trained plain_sac wall_seconds"
    assert list(summary) == parts.split()
    for name in ("learning-curve.png", "trained.gif"):
        assert (tmp_path / name).stat().st_size > 0
    stamp = (tmp_path / "prior.json").stat().st_mtime_ns
    assert main(command) == 0
    assert (tmp_path / "prior.json").stat().st_mtime_ns == stamp
    assert json.loads((tmp_path / "summary.json").read_text())["wall_seconds"] > 0
