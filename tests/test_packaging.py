"""Every import is paid for by a dependency, extras cover their parts, and a wheel works outside."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import parrot_wrapper
from tests.project_file import ROOT, core_dependencies, extras_of_all, optional_dependencies
from tests.test_architecture import imported

DISTRIBUTIONS = {
    "PIL": "pillow",
    "docstring_parser": "docstring-parser",
    "huggingface_hub": "huggingface-hub",
    "pybullet_data": "pybullet",
    "rl_zoo3": "rl-zoo3",
    "sbx": "sbx-rl",
    "stable_baselines3": "stable-baselines3",
}
"""Distributions that are not called like their modules."""
UNNAMED = {"tensorboard", "pillow", "rich", "onnx", "pandas"}
"""Needed without being imported: by torch's writers, imageio's plugin, SB3's bar, Optuna."""
PARTS = {
    "sb3": ["wrappers/*.py", "rl/*.py", "rl/replay/*.py", "evaluation/rollouts.py"],
    "data": ["data/*.py", "record/*.py"],
    "train": ["training/*.py", "data/*.py"],
    "plots": ["evaluation/*.py", "experiments/*.py"],
    "cli": ["cli/*.py"],
    "minari": ["data/*.py", "data/exchange/minari.py"],
    "lerobot": ["data/*.py", "data/exchange/lerobot*.py", "data/exchange/images.py"],
}
"""What a user of one extra alone can import: files below parrot_wrapper."""


class Runtime(ast.NodeTransformer):
    """Leaves out what only type checkers import."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if getattr(node.test, "id", "") == "TYPE_CHECKING" else node


def distributions(path: Path) -> set[str]:
    """Those that a file imports."""
    tree = Runtime().visit(ast.parse(path.read_text(encoding="utf-8")))
    names = {name.split(".")[0] for name in imported(path, tree)}
    foreign = names - set(sys.stdlib_module_names) - {"parrot_wrapper", "parrot_envs"}
    return {DISTRIBUTIONS.get(name, name) for name in foreign}


@pytest.mark.parametrize("extra", PARTS)
def test_an_extra_covers_its_parts(extra: str) -> None:
    have = core_dependencies() | optional_dependencies()[extra]
    for pattern in PARTS[extra]:
        paths = list((ROOT / "parrot_wrapper").glob(pattern))
        assert paths
        for path in paths:
            asked = re.findall(r'needed_extra\(\s*"([\w-]+)"', path.read_text(encoding="utf-8"))
            told = set().union(*(optional_dependencies()[name] for name in asked))
            assert distributions(path) <= have | told, path.name


def test_all_is_all() -> None:
    extras = optional_dependencies()
    alone = {"lerobot-policies", "onnx", "sbx", "wandb", "zoo"}
    others = {"all", "dev", "docs", "third-party", *alone}
    assert extras_of_all() == set(extras) - others
    have = core_dependencies().union(*(extras[name] for name in extras_of_all()))
    used = set().union(*(distributions(p) for p in (ROOT / "parrot_wrapper").rglob("*.py")))
    used |= set().union(*(distributions(p) for p in (ROOT / "parrot_envs").rglob("*.py")))
    assert used | UNNAMED == have.union(*(extras[name] for name in alone))


def test_versions_and_authors_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == parrot_wrapper.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {parrot_wrapper.__version__}" in changelog


PACKAGES = ("parrot_wrapper", "parrot_envs", "parrot_table")


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def packaged_files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name[0] != "."
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Python of a new environment with our wheel, and with this one's packages beside it.

    Those are reached through a plain path, which leaves out the editable installation of the
    checkout: its own path file is not read a second time.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    run(*build, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    run(*pip, wheel, cwd=folder)
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    )
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.slow
def test_holds_every_file_of_both_packages(installed):
    where = run(
        installed,
        "-c",
        "import parrot_wrapper, pathlib; print(pathlib.Path(parrot_wrapper.__file__).parents[1])",
        cwd=installed.parent,
    )
    assert ROOT not in Path(where).parents
    found = packaged_files(Path(where))
    assert found == packaged_files(ROOT)
    assert {f"{package}/py.typed" for package in PACKAGES} <= found


@pytest.mark.slow
def test_wraps_an_env(installed):
    code = (
        "import gymnasium as gym, numpy as np\n"
        "import parrot_wrapper as p\n"
        "config = p.FlowPriorConfig(p.ObservationSpec(state=3), 1, encoder='state',\n"
        "                           action_low=(-2.0,), action_high=(2.0,))\n"
        "env = p.BehavioralPriorWrapper(gym.make('Pendulum-v1'), p.FlowPrior(config))\n"
        "env.reset(seed=0)\n"
        "print(env.step(env.action_space.sample())[4]['parrot/action'].shape)\n"
    )
    assert run(installed, "-c", code, cwd=installed.parent) == "(1,)"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pybullet") is None, reason="needs PyBullet")
def test_makes_every_env(installed):
    code = (
        "import gymnasium as gym, parrot_envs\n"
        "for env_id in parrot_envs.ENV_IDS:\n"
        "    env = gym.make(env_id)\n"
        "    observation, _ = env.reset(seed=0)\n"
        "    assert observation.shape == (48, 48, 3), observation.shape\n"
        "    env.step(env.action_space.sample())\n"
        "    env.close()\n"
        "print(len(parrot_envs.ENV_IDS))\n"
    )
    assert int(run(installed, "-c", code, cwd=installed.parent).split()[-1]) > 0


@pytest.mark.slow
def test_loads_the_packaged_priors(installed):
    code = (
        "from parrot_wrapper.priors import load_prior, packaged_names\n"
        "print(*(name for name in packaged_names() if load_prior(name).latent_dim))\n"
    )
    from parrot_wrapper.priors import packaged_names

    assert run(installed, "-c", code, cwd=installed.parent).split() == packaged_names()


@pytest.mark.slow
def test_has_the_command(installed):
    assert (installed.parent / "parrot").exists()
    help_text = run(installed.parent / "parrot", "--help", cwd=installed.parent)
    assert "train" in help_text
