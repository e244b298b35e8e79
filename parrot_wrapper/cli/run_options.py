"""What the commands around RL and priors share: env options that fit a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from parrot_wrapper.cli.environments import require_env_id
from parrot_wrapper.types import ActionPrior

_OURS = "parrot_envs."


def fitting_kwargs(
    env_id: str, prior: ActionPrior, given: Mapping[str, Any], packages: Sequence[str]
) -> dict[str, Any]:
    """The env's options, with `obs` added where our envs need it to show what the prior looks at.

    Raises:
        UnknownNameError: No such env id.
    """
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
