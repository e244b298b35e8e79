"""Classes by name, ours, of installed packages, and just defined; modules with envs; versions.

A package offers its own under an entry point group; nothing of it is imported before its name is
asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

from parrot_wrapper.errors import (
    InvalidArgumentError,
    MissingExtraError,
    UnknownNameError,
    unknown_name,
)

DEFAULT_PACKAGES = ("parrot_envs",)
"""Modules whose import registers env ids, where nothing else is said."""
DEFAULT_PRIOR = "parrot-v0"
"""The prior that comes with the package and that commands take, where nothing else is said."""


def import_packages(packages: Iterable[str]) -> None:
    """Import modules that register env ids; of `DEFAULT_PACKAGES` those that are installed.

    Raises:
        MissingExtraError: Another one cannot be imported.
    """
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            if package in DEFAULT_PACKAGES and error.name == package:
                continue
            raise MissingExtraError(
                f"Expected a module {package!r} that registers env ids, installed or in "
                f"{os.getcwd()}, got: {error}. Install it, or leave it out of gym_packages."
            ) from error


def installed_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions by name; what is not installed, as in a source tree, is left out."""
    found = {}
    for name in distributions:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class Registry:
    """Classes by name, each imported when it is first asked for.

    Args:
        what: One of them in words, for messages.
        group: Entry point group of other packages.
        ours: Name to "module:Class".
        former: Names that some had before, to the names that they have now.
    """

    def __init__(
        self,
        what: str,
        group: str,
        ours: Mapping[str, str],
        former: Mapping[str, str] | None = None,
    ) -> None:
        self._what, self._group = what, group
        self._ours, self._former = dict(ours), dict(former or {})
        self._defined: dict[str, Any] = {}

    def add(self, name: str, kind: type) -> None:
        """Take a class in; one that is defined again, as in a notebook, replaces itself.

        Raises:
            InvalidArgumentError: Another class has the name.
        """
        place = f"{kind.__module__}:{kind.__qualname__}"
        other = self._defined.get(name)
        taken = self._ours.get(name) or (other and f"{other.__module__}:{other.__qualname__}")
        if taken and taken != place:
            raise InvalidArgumentError(
                f"Expected a new name for the {self._what} {place}, got {name!r}, which is that "
                f"of {taken}."
            )
        self._defined[name] = kind

    def names(self) -> list[str]:
        """All names, ours first."""
        return [*self._ours, *self.added()]

    def added(self) -> list[str]:
        """Names that are not ours."""
        named = (*self._defined, *(point.name for point in entry_points(group=self._group)))
        return [name for name in dict.fromkeys(named) if name not in self._ours]

    def current(self, name: str) -> str:
        """The name that replaced this one, or itself."""
        return self._former.get(name, name)

    def get(self, name: str) -> Any:
        """What has this name, or had it before.

        Raises:
            UnknownNameError: Nothing has; the nearest is named.
            MissingExtraError: The package that offers it cannot be imported.
        """
        name = self.current(name)
        if name in self._defined:
            return self._defined[name]
        ours = [EntryPoint(name, self._ours[name], self._group)] if name in self._ours else ()
        for point in ours or entry_points(group=self._group, name=name):
            try:
                return point.load()
            except (AttributeError, ImportError) as error:
                raise MissingExtraError(
                    f"Expected the {self._what} {name!r} at {point.value}, got: {error}."
                ) from error
        raise self._unknown(name)

    def require(self, name: str) -> None:
        """Refuse a name that nothing has or had, without importing anything.

        Raises:
            UnknownNameError: Nothing has; the nearest is named.
        """
        if self.current(name) not in self.names():
            raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownNameError:
        return unknown_name(self._what, name, [*self.names(), *self._former])
