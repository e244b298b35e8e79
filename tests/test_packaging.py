"""Every import of the packages is paid for by a dependency, and every extra covers its parts."""

import ast
import re
import sys
from pathlib import Path

import pytest

import parrot_wrapper
from tests.project_file import ROOT, core_dependencies, extras_of_all, optional_dependencies

DISTRIBUTIONS = {
    "PIL": "pillow",
    "docstring_parser": "docstring-parser",
    "pybullet_data": "pybullet",
    "stable_baselines3": "stable-baselines3",
}
"""Distributions that are not called like their modules."""
UNNAMED = {"tensorboard", "pillow", "rich"}
"""Needed without being imported: by torch's writer, imageio's plugin, SB3's progress bar."""
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


def imported(path: Path) -> set[str]:
    """Distributions that a file imports; those that only type checkers import left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    foreign = names - set(sys.stdlib_module_names) - {"parrot_wrapper", "parrot_envs"}
    return {DISTRIBUTIONS.get(name, name) for name in foreign}


@pytest.mark.parametrize("extra", PARTS)
def test_an_extra_covers_its_parts(extra: str) -> None:
    have = core_dependencies() | optional_dependencies()[extra]
    for pattern in PARTS[extra]:
        paths = list((ROOT / "parrot_wrapper").glob(pattern))
        assert paths
        for path in paths:
            assert imported(path) <= have, path.name


def test_all_is_all() -> None:
    extras = optional_dependencies()
    assert extras_of_all() == set(extras) - {"all", "dev", "docs", "third-party"}
    have = core_dependencies().union(*(extras[name] for name in extras_of_all()))
    used = set().union(*(imported(p) for p in (ROOT / "parrot_wrapper").rglob("*.py")))
    used |= set().union(*(imported(p) for p in (ROOT / "parrot_envs").rglob("*.py")))
    assert used | UNNAMED == have


def test_versions_and_authors_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == parrot_wrapper.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {parrot_wrapper.__version__}" in changelog
