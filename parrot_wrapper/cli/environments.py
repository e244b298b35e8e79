"""Environments by id for the command line, ours and any package's, and their options."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from parrot_wrapper.errors import InvalidArgumentError, unknown_name
from parrot_wrapper.registry import DEFAULT_PACKAGES, import_packages
from parrot_wrapper.types import ActionPrior


def register_packages(packages: Sequence[str] = DEFAULT_PACKAGES) -> list[str]:
    """Import `packages`; return the env ids that are registered beside gymnasium's own.

    Modules of the current folder are found too, after all that is installed.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # the parrot script has its own folder in front, not this one
    import_packages(packages)
    return sorted(env_id for env_id, spec in gym.registry.items() if _is_foreign(spec))


def _is_foreign(spec: gym.envs.registration.EnvSpec) -> bool:
    """Whether an env comes from elsewhere than gymnasium (whose placeholders are functions)."""
    found = spec.entry_point or spec.vector_entry_point
    module = found if isinstance(found, str) else getattr(found, "__module__", "")
    return not str(module).startswith(("gymnasium.", "shimmy."))


def require_env_id(env_id: str, packages: Sequence[str] = DEFAULT_PACKAGES) -> None:
    """Import `packages`, and M of an id "M:id"; refuse an id that is not registered."""
    module, _, name = env_id.rpartition(":")
    known = register_packages([*packages, module] if module else packages)
    if name not in gym.registry:
        nearest = difflib.get_close_matches(name, list(gym.registry), n=1)
        raise unknown_name("environment id", name, {*known, *nearest})


def packages_of(run_folder: Path, given: Sequence[str]) -> tuple[str, ...]:
    """Modules whose import registers env ids: those given, and those of a run if there is one."""
    from parrot_wrapper.rl.train import CONFIG_FILE, read_packages  # brings torch and SB3

    known = read_packages(run_folder) if (run_folder / CONFIG_FILE).is_file() else ()
    return tuple(dict.fromkeys([*given, *known]))


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


_OURS = "parrot_envs."


def fitting_kwargs(
    env_id: str, prior: ActionPrior, given: Mapping[str, Any], packages: Sequence[str]
) -> dict[str, Any]:
    """The env's options, with `obs` where our envs need it to show what the prior looks at."""
    require_env_id(env_id, packages)
    spec = gym.registry.get(env_id)
    ours = spec is not None and str(spec.entry_point).startswith(_OURS)
    if ours and "obs" not in given and prior.observation_spec.proprio:
        return {**given, "obs": "image_proprio"}
    return dict(given)


def render_kwargs(env_id: str, *, window: bool = False) -> dict[str, Any]:
    """The render mode to watch an env by, or nothing if it has none: its observations are filmed.

    Args:
        env_id: A registered id, or `"module:id"` of a module that was imported.
        window: Take `"human"` where the env offers it, instead of `"rgb_array"`.
    """
    spec = gym.registry.get(env_id.rpartition(":")[2])
    found = spec.entry_point if spec else None  # text, or the class itself, or a function
    creator = gym.envs.registration.load_env_creator(found) if isinstance(found, str) else found
    modes = (getattr(creator, "metadata", None) or {}).get("render_modes") or ()
    wanted = ("human", "rgb_array") if window else ("rgb_array",)
    return next(({"render_mode": mode} for mode in wanted if mode in modes), {})
