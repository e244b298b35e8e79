"""What pyproject.toml says of dependencies: names of distributions, without versions."""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the older Python only
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements}


def core_dependencies() -> set[str]:
    return _names(_project()["dependencies"])


def optional_dependencies() -> dict[str, set[str]]:
    return {name: _names(items) for name, items in _project()["optional-dependencies"].items()}


def extras_of_all() -> set[str]:
    (everything,) = _project()["optional-dependencies"]["all"]
    return set(re.search(r"\[(.*)\]", everything)[1].split(","))
