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
    ("name", "args", "expected"),
    [
        ("envs.py", ["--env-id", "ParrotGraspCup-v0", "--episodes", "1"], "| ParrotGraspCup-v0 |"),
        ("envs.py", ["--panda", "--episodes", "1"], "PandaPickAndPlace-v3"),
        ("envs.py", ["--workers", "1", "--seconds", "0.2"], "\n| 1 "),
        pytest.param(
            "physics_settings.py", ["--episodes", "1"], "| shadows ", marks=pytest.mark.slow
        ),
        ("endurance.py", ["--resets", "2", "--steps", "5"], "|      2 |      5 |"),
        ("expert_success.py", ["--tables", "ids", "--scale", "0"], "| `ParrotGraspCap-v0` "),
        ("mesh_cost.py", ["--episodes", "1"], "| 25 steps "),
        ("wrapper.py", ["--steps", "3"], "| features "),
        ("rl_step.py", ["--steps", "20", "--rounds", "1"], "| both of these "),
    ],
)
def test_prints_its_table(name: str, args: list[str], expected: str) -> None:
    pytest.importorskip("pybullet")
    command = [sys.executable, str(BENCHMARKS / name), *args]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


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
