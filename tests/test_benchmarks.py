"""The benchmarks run and print their tables; how fast anything is, no test says."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("envs --env-id ParrotGraspCup-v0 --episodes 1", "| ParrotGraspCup-v0 |"),
        ("envs --panda --episodes 1", "PandaPickAndPlace-v3"),
        ("envs --workers 1 --seconds 0.2", "\n| 1 "),
        pytest.param("physics_settings --episodes 1", "| shadows ", marks=pytest.mark.slow),
        ("endurance --resets 2 --steps 5", "|      2 |      5 |"),
        ("endurance --resets 2 --steps 5 --prior parrot-v0", "|      2 |      5 |"),
        ("endurance --envs 2 --steps 52 --prior parrot-v0", "|      4 |     52 |"),
        ("fuzz_loaders --cases 24 --seed 5", "| all "),
        pytest.param(
            "kill_and_resume --kills 4 --only train-prior train",
            "| all         | 4     | 0 ",
            marks=pytest.mark.slow,
        ),
        ("expert_success --tables ids --scale 0", "| `ParrotGraspCap-v0` "),
        (
            "mismatch_samples --prior parrot-v0 --episodes 1 --tasks ParrotPlaceCanInPan-v0",
            "| parrot+redirected-broad |",
        ),
        ("mesh_cost --episodes 1", "| 25 steps "),
        ("wrapper --steps 3 --rounds 1 --envs 2", "\n| 2    | features "),
        ("acting --rounds 1", "| flow folded (kept) "),
        ("rl_step --steps 20 --rounds 1", "| both of these "),
        ("many_envs --envs 4 --steps 40", "\n| 4    | "),
        pytest.param(
            "engines --workers 1 --shards 2 --runs 2 --steps 20 --tasks 2",
            "| steps  | torchrun, 1 ",
            marks=pytest.mark.slow,
        ),
        ("held_latent --episodes 8 --train-steps 2 --sampled 2", "| latent held for 16 steps | "),
        ("unsafe_samples --episodes 1 --tasks ParrotGraspCup-v0", "| prior, likely 0.9 | "),
        ("visitation --episodes 4 --train-steps 2 --sample-steps 400", "| recurrent | "),
        ("places_seen parrot-v0 --episodes 3", "| `parrot-v0` "),
        ("latent_smoothness parrot-v0 --episodes 1", "| parrot-v0 |"),
        (
            "threads --rounds 1 --only fit --fit-batches 8 --machines as-it-is",
            "| step of train-prior, batch 8 ",
        ),
    ],
)
def test_prints_its_table(command: str, expected: str) -> None:
    pytest.importorskip("pybullet")
    name, *args = command.split()
    # in a process of its own: some of them change the physics of all envs in their process
    script = [sys.executable, str(BENCHMARKS / f"{name}.py"), *args]
    done = subprocess.run(script, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("what_features_lack {data} parrot-v0 --steps 3", "\n| parrot-v0 | "),
        (
            "lifelong --data {data} --out {out} --tasks ParrotGraspCup-v0 --steps 1100 --episodes 1"
            " --refit-steps 4 --held-out 1",
            "\n| `ParrotGraspCup-v0` | ",
        ),
    ],
)
def test_prints_its_table_of_data(command: str, expected: str, tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    data = tmp_path / "data"
    collect = "-m parrot_wrapper collect --env-id ParrotGraspCup-v0 --episodes 24 --workers 1"
    name, *args = command.format(data=data, out=tmp_path / "out").split()
    script = [str(BENCHMARKS / f"{name}.py"), *args]
    for arguments in ([*collect.split(), "--out", str(data)], script):
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.parametrize(("env", "sees"), [("puck", "state"), ("magnet", "image proprio")])
def test_foreign_sight(env: str, sees: str, tmp_path: Path) -> None:
    few = "--episodes 4 --prior-steps 2 --batch-size 8 --steps 60 --rollouts 1"
    script = [sys.executable, str(BENCHMARKS / "foreign_sight.py"), env, "--out", str(tmp_path)]
    done = subprocess.run(
        [*script, "--sees", *sees.split(), *few.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert row["env_steps"] == 60 and row["success"]["episodes"] == 1
    assert (tmp_path / env / "frames.png").is_file()


def test_the_table_of_bullet_objects_is_what_its_script_makes(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    script, out = BENCHMARKS / "stand_bullet_objects.py", tmp_path / "table.json"
    command = [sys.executable, str(script), str(out), "--blobs", "0"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads(out.read_text(encoding="utf-8"))
    packaged = files("parrot_envs") / "assets" / "bullet_objects.json"
    kept = json.loads(packaged.read_text(encoding="utf-8"))
    assert set(made) == {name for name in kept if not name.startswith("blob-")}
    for name, row in made.items():
        for key in ("radius", "height", "yaw_range"):
            assert row[key] == pytest.approx(kept[name][key], rel=0.02), name


ORIGINAL = """
import gym
import numpy as np


class Widow250Env(gym.Env):
    def __init__(self, object_names, load_tray, **_):
        self.action_space = gym.spaces.Box(-np.ones(8), np.ones(8), dtype=np.float64)
        assert object_names == ("duck",) and not load_tray

    def reset(self):
        return {}

    def step(self, action):
        assert action[6] == 0.0
        return {}, 0.0, False, {}
"""


def test_the_original_env_comes_from_a_checkout(tmp_path: Path) -> None:
    """What stands for the checkout has the interface that the script uses."""
    pytest.importorskip("pybullet")
    command = [sys.executable, str(BENCHMARKS / "against_original.py"), "--objects", "duck"]
    command += ["--episodes", "1", "--roboverse", str(tmp_path)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Expected a checkout of roboverse" in done.stderr
    envs = tmp_path / "roboverse" / "envs"
    envs.mkdir(parents=True)
    for package in (envs, envs.parent):
        (package / "__init__.py").touch()
    (envs / "widow250.py").write_text(ORIGINAL)
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| Widow250Env " in done.stdout
    assert "| ParrotGrasp-v0 " in done.stdout
