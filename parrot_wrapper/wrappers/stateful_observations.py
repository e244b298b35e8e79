"""Wrappers below a prior whose observations depend on what they saw before."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from gymnasium.vector import AsyncVectorEnv

from parrot_wrapper.errors import InvalidArgumentError

_STATISTICS = "obs_rms"
"""What Gymnasium, Stable-Baselines3 and their copies call running statistics of observations."""

_FREEZING = ("update_running_mean", "training")
"""Gymnasium's and Stable-Baselines3's names of the flag that is False where they are frozen."""

_SAME_SHAPE = {"DelayObservation", "MaxAndSkipObservation", "MaxAndSkipEnv"}
"""Classes that mix in the past and leave the space as it was. Those that change the space, such as
frame stacks, need no mention: a prior that fits such a space was trained on it."""


def check_stateful_observations(
    env: object, *, reads: Collection[str] = (), stacklevel: int = 3
) -> None:
    """Refuse running statistics below a prior, and warn of what only its own data could justify.

    A prior maps one observation to actions. While a wrapper below it updates its mean and variance,
    the same state looks different every time, which no data can have shown to the prior. Frozen
    statistics, delays and skipped frames are right if the prior's data were recorded through them.

    Args:
        env: An env, a vector env of Gymnasium's or a `VecEnv`. All wrappers are looked at, those of
            sub-envs in worker processes included.
        reads: The keys of a Dict observation that the prior reads: others may be normalised.
        stacklevel: Whose line a warning names; 2 is the caller's.
    """
    changes = [change for layer in _layers(env, set()) for change in _changes(layer, set(reads))]
    moving = [name for name, moves in changes if moves]
    if moving:
        raise InvalidArgumentError(
            "Expected observations as the prior was trained on them, got "
            f"{', '.join(moving)} below it, which normalises them by running statistics. Put it "
            "above the prior, where the agent sees it; or, if the prior's data were recorded "
            "through it, load the statistics of that time and freeze them (update_running_mean = "
            "False, in Stable-Baselines3 training = False)."
        )
    if changes:
        names = ", ".join(dict.fromkeys(name for name, _ in changes))
        warnings.warn(
            f"{names} below the prior changes what it sees. That is right only if the prior's data "
            "were recorded through the same wrapper, normalised by the same statistics; otherwise "
            "put it above the prior.",
            UserWarning,
            stacklevel=stacklevel,
        )


def _layers(env: object, seen: set[int]) -> Iterator[object]:
    """The env and all that it is made of in this process, wrappers and sub-envs alike."""
    if id(env) in seen:  # simulators point back to their env
        return
    seen.add(id(env))
    yield env
    inside = getattr(env, "__dict__", {})
    below = [inside.get("env"), inside.get("venv")]
    envs = inside.get("envs")
    below += envs if isinstance(envs, list | tuple) else []
    for layer in below:
        if layer is not None:
            yield from _layers(layer, seen)


def _changes(layer: object, reads: set[str]) -> Iterator[tuple[str, bool]]:
    """What a layer does to observations: a name, and whether it is never twice the same."""
    name = type(layer).__name__
    inside = getattr(layer, "__dict__", {})
    statistics = inside.get(_STATISTICS)
    by_key = isinstance(statistics, Mapping) and not reads & set(statistics)
    if statistics is not None and inside.get("norm_obs", True) and not by_key:
        yield name, all(getattr(layer, flag, True) for flag in _FREEZING)
    if _SAME_SHAPE & {kind.__name__ for kind in type(layer).__mro__}:
        yield name, False
    if isinstance(layer, AsyncVectorEnv):
        yield from _changes_in_workers(layer.call)
    elif "remotes" in inside:  # Stable-Baselines3's SubprocVecEnv
        yield from _changes_in_workers(layer.env_method)  # type: ignore[attr-defined]


def _changes_in_workers(ask: Callable[..., Sequence[Any]]) -> Iterator[tuple[str, bool]]:
    # wrappers print as <Outer<Inner<Env>>>
    names = {name for text in ask("__str__") for name in re.findall(r"<(\w+)", str(text))}
    if any(ask("has_wrapper_attr", _STATISTICS)):
        known = [flag for flag in _FREEZING if all(ask("has_wrapper_attr", flag))]
        moves = all(any(ask("get_wrapper_attr", flag)) for flag in known)
        yield "NormalizeObservation", moves
    yield from ((name, False) for name in sorted(names & _SAME_SHAPE))
