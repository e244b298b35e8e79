"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def names_of(
    package: str, **homes: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of such a package.

    Returns:
        Both. `__getattr__` raises AttributeError for what is no name of the package, and
        MissingExtraError where its module needs what is not installed.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f"{package}.{home_of[name]}"), name)
        except ModuleNotFoundError as error:
            from parrot_wrapper.errors import MissingExtraError

            raise MissingExtraError(
                f"{package}.{name} needs {error.name}, which is not installed: pip install "
                "'parrot-wrapper[all]'."
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted({*vars(sys.modules[package]), *home_of})
