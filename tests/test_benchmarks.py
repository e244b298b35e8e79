"""The benchmarks run and print their tables; how fast anything is, no test says."""

import os
import subprocess
import sys
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
        ("wrapper.py", ["--steps", "3"], "| features "),
    ],
)
def test_prints_its_table(name: str, args: list[str], expected: str) -> None:
    pytest.importorskip("pybullet")
    command = [sys.executable, str(BENCHMARKS / name), *args]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
