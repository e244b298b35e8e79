"""What the documentation says of the environments is what they are."""

import inspect
import re
import runpy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.env import ManipulationEnv
from parrot_envs.novel_objects import novel_objects
from parrot_envs.registration import EPISODE_STEPS, TABLE
from parrot_envs.robot import ANGLE_SCALE, HOME, POSITION_SCALE
from parrot_envs.scene import TABLE_HIGH, TABLE_LOW
from parrot_envs.tasks import LIFT_HEIGHT
from parrot_envs.training_objects import TRAINING_FAMILIES

DOCS = Path(__file__).parents[2] / "docs"
DOC = inspect.getdoc(ManipulationEnv)


def test_the_docstring_tells_the_units_that_hold() -> None:
    rows = dict(re.findall(r"^\| (.*?) \| .* \| (.*?) ?\|$", DOC, re.M))
    assert rows["0, 1, 2"] == f"{POSITION_SCALE} m"
    assert rows["3, 4, 5"] == f"{ANGLE_SCALE} rad"
    prose = " ".join(DOC.split())
    assert f"{LIFT_HEIGHT} m" in prose
    assert f"({HOME[0]:.2f}, {HOME[1]:.0f}, {HOME[2]}) m" in prose
    width, depth = TABLE_HIGH - TABLE_LOW
    assert f"{width:.2f} m by {depth:.2f} m" in prose
    assert f"{EPISODE_STEPS} steps" in prose


def test_the_docstring_has_all_that_a_reader_of_an_env_looks_for() -> None:
    for heading in ("Action", "Observation", "Reward and success", "Start", "Episode end", "Info"):
        assert f"**{heading}**" in DOC
    assert "**Versions**: v0" in DOC
    assert {env_id.rsplit("-", 1)[1] for env_id in TABLE} == {"v0"}
    arguments = DOC.split("\nArgs:\n")[1]
    for name in inspect.signature(ManipulationEnv).parameters:
        assert f"\n    {name}: " in f"\n{arguments}"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_action_moves_as_far_as_the_docstring_says(axis: int) -> None:
    env = gym.make("ParrotGraspCup-v0", obs="image_proprio")
    observation, info = env.reset(seed=0)
    action = np.zeros(7, np.float32)
    action[axis] = -1.0
    moved = env.step(action)[0]["proprio"][:3] - observation["proprio"][:3]
    assert moved[axis] == pytest.approx(-POSITION_SCALE, abs=0.004)
    told = re.search(r"\*\*Info\*\*.*?(?=\n\n)", DOC, re.S)[0]
    assert all(f"`{key}`" in told for key in info)
    env.close()


def test_the_contact_sheet_shows_every_family(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    script = runpy.run_path(str(DOCS / "make_contact_sheet.py"))
    shown = {thing.name for things in script["groups"]().values() for thing in things}
    assert {f"{family}-0" for family in TRAINING_FAMILIES} | {*novel_objects()} <= shown
    assert {t.name for t in training_containers()} | {*novel_containers()} <= shown
    script["main"]([str(tmp_path / "sheet.png")])
    committed = DOCS / "images" / "objects.png"
    with image.open(tmp_path / "sheet.png") as made, image.open(committed) as kept:
        assert made.size == kept.size
    assert committed.stat().st_size < 400_000
