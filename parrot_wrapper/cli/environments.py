"""Environments by id for the command line: ours and those of any package the user names."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from parrot_wrapper.errors import InvalidArgumentError, MissingExtraError, unknown_name

DEFAULT_PACKAGES = ("parrot_envs",)
"""Modules whose import registers env ids."""


def register_packages(packages: Sequence[str] = DEFAULT_PACKAGES) -> list[str]:
    """Import `packages`; return the env ids that are registered beside gymnasium's own.

    Modules of the current folder are found too, after all that is installed.

    Raises:
        MissingExtraError: One of them cannot be imported (`parrot_envs` may be absent).
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # the parrot script has its own folder in front, not this one
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            if package in DEFAULT_PACKAGES and getattr(error, "name", None) == package:
                continue
            raise MissingExtraError(
                f"Expected a module {package!r} that registers env ids, installed or in "
                f"{here}, got: {error}."
            ) from error
    return sorted(env_id for env_id, spec in gym.registry.items() if _is_foreign(spec))


def _is_foreign(spec: gym.envs.registration.EnvSpec) -> bool:
    """Whether an env comes from elsewhere than gymnasium (whose placeholders are functions)."""
    found = spec.entry_point or spec.vector_entry_point
    module = found if isinstance(found, str) else getattr(found, "__module__", "")
    return not str(module).startswith(("gymnasium.", "shimmy."))


def require_env_id(env_id: str, packages: Sequence[str] = DEFAULT_PACKAGES) -> None:
    """Import `packages`, and M for an id of the form "M:id", and check that the id is registered.

    Raises:
        UnknownNameError: It is not; the nearest id is named.
        MissingExtraError: A module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    known = register_packages([*packages, module] if module else packages)
    if name not in gym.registry:
        nearest = difflib.get_close_matches(name, list(gym.registry), n=1)
        raise unknown_name("environment id", name, {*known, *nearest})


def make_env(
    env_id: str, *, gym_packages: Sequence[str] = DEFAULT_PACKAGES, **kwargs: Any
) -> gym.Env[Any, Any]:
    """`gymnasium.make` that knows our ids and names the nearest one on a typo.

    Args:
        env_id: A registered id, or `"module:id"`.
        gym_packages: Modules whose import registers ids.
        kwargs: Passed on to `gymnasium.make`.

    Raises:
        UnknownNameError: No such id.
        InvalidArgumentError: The env does not take one of `kwargs`.
    """
    require_env_id(env_id, gym_packages)
    try:
        return gym.make(env_id, **kwargs)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise InvalidArgumentError(
            f"Expected options that {env_id} takes, got {sorted(kwargs)}: {error}."
        ) from error


def parse_env_kwargs(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `key=value` arguments into keyword arguments; values are JSON, or else plain text.

    Raises:
        InvalidArgumentError: A pair has no `=`.

    Example:
        >>> parse_env_kwargs(["obs=image_proprio", "image_size=64", "terminate_on_success=true"])
        {'obs': 'image_proprio', 'image_size': 64, 'terminate_on_success': True}
    """
    kwargs: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise InvalidArgumentError(f"Expected an option of the form key=value, got {pair!r}.")
        try:
            kwargs[key] = json.loads(text)
        except ValueError:
            kwargs[key] = text
    return kwargs
