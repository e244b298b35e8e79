"""The examples with envs of other projects run from top to bottom, with tiny numbers.

`make test-third-party` installs them; elsewhere these tests are skipped.
"""

import ctypes.util
import os
import re
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "third_party"
TINY = {"episodes": 3, "prior-steps": 20, "steps": 120, "rollouts": 1}
NEEDS = {
    "panda_reach.py": ["panda_gym"],
    "fetch_reach_images.py": ["gymnasium_robotics"],
    "metaworld_reach.py": ["metaworld"],
    "dm_control_reacher.py": ["shimmy", "dm_control"],
    "pusher_states.py": ["mujoco"],
}
pytestmark = pytest.mark.filterwarnings(
    # What the packages warn of in their own envs is theirs.
    "ignore::DeprecationWarning",
    "ignore:.*observation space.*:UserWarning",
    "ignore:.*Box.*:UserWarning",
    "ignore:Constant.s. may be too high:UserWarning",
    "ignore:.*out of date:DeprecationWarning",
)


def test_all_are_here_and_short():
    assert {path.name for path in FOLDER.glob("*.py")} == set(NEEDS)
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


def needs(name: str) -> None:
    for package in NEEDS[name]:
        pytest.importorskip(package, exc_type=ImportError)


def run(name, folder, monkeypatch, capsys, **settings):
    flags = [str(word) for k, v in (TINY | settings).items() for word in (f"--{k}", v)]
    monkeypatch.setattr(sys, "argv", [name, "--out", str(folder), *flags])
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    told = capsys.readouterr().out
    for what in ("uniform actions", "samples of the prior", "SAC in its latents"):
        assert re.search(rf"^{what}: return -?\d+\.\d, success \d+%$", told, re.M), told
    assert (folder / "prior" / "prior.json").is_file()
    assert (folder / "model.zip").is_file()


@pytest.mark.parametrize("name", [name for name in NEEDS if "fetch" not in name])
def test_states(name, tmp_path, monkeypatch, capsys):
    needs(name)
    run(name, tmp_path, monkeypatch, capsys)


def test_images(tmp_path, monkeypatch, capsys):
    os.environ.setdefault("MUJOCO_GL", "egl")  # read when mujoco is first imported
    needs("fetch_reach_images.py")
    if os.environ["MUJOCO_GL"] == "egl" and ctypes.util.find_library("EGL") is None:
        pytest.skip("MuJoCo renders without a display through EGL, and there is no libEGL")
    few = {"steps": 40, "episode-steps": 8}
    run("fetch_reach_images.py", tmp_path, monkeypatch, capsys, **few)
