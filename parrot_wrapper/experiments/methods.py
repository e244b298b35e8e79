"""The paper's methods as settings of one harness: what each needs, and its `RLConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from parrot_wrapper.errors import unknown_name
from parrot_wrapper.experiments.runs import Run
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.rl.config import PRESETS, RLConfig, preset_config


@dataclass(frozen=True)
class Method:
    """How a method uses what is learned from data.

    Attributes:
        prior: Kind of the learned part behind the wrapper: "prior" (the flow), "hirl", "trajrl",
            "vae-features".
        raw: Acts in the env's own action space and only sees the features of `prior`.
        sees: "grid" for the observation that the grid says, "features" for those of `prior` always.
        keeps_prior: Needs `prior` even where the grid's agents see the env's own observation.
        initial_actor: Kind of the learned part that the actor starts from, empty for none.
        settings: `RLConfig` settings of its own.
    """

    prior: str = "prior"
    raw: bool = False
    sees: str = "grid"
    keeps_prior: bool = True
    initial_actor: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "parrot": Method(),
        "sac": Method(raw=True, keeps_prior=False),
        "bc-sac": Method(raw=True, keeps_prior=False, initial_actor="bc"),
        "vae-features": Method(prior="vae-features", raw=True, sees="features"),
        # one decision an episode of 25 env steps, and as many updates as the others make
        "trajrl": Method(prior="trajrl", settings={"gradient_steps": 25}),
        "hirl": Method(prior="hirl"),
        "prior-explore": Method(raw=True, settings={"prior_explore": 0.9}),
    }
)
"""Methods of RL grids: PARROT and the paper's six comparisons (Singh et al. 2021, section 6)."""

EXPLORATION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"uniform": (), "parrot": ("prior",), "hirl": ("hirl",), "trajrl": ("trajrl",)}
)
"""Methods of exploration grids, with the learned parts that they sample."""


def explored_parts(method: str) -> tuple[str, ...]:
    """The learned parts that a method of an exploration grid samples.

    Raises:
        UnknownNameError: No such method; the nearest is named.
    """
    if method not in EXPLORATION and method not in PRIORS.added():
        raise unknown_name("method of an exploration grid", method, EXPLORATION)
    return EXPLORATION.get(method, (method,))


def base_method(method: str) -> str:
    """The method that a variant such as "parrot+utd4" is one of; the name itself for others."""
    return method.partition("+")[0]


def needed_parts(method: str, *, from_pixels: bool) -> tuple[str, ...]:
    """Kinds of learned parts that an RL method is built from.

    Args:
        method: A method or a variant of one.
        from_pixels: Whether the grid's agents see the env's own observation, not features.

    Raises:
        UnknownNameError: No such method; the nearest is named.

    Example:
        >>> needed_parts("bc-sac", from_pixels=False), needed_parts("sac", from_pixels=True)
        (('prior', 'bc'), ())
    """
    chosen = _method(method)
    prior = (chosen.prior,) if chosen.keeps_prior or not from_pixels else ()
    return (*prior, *filter(None, [chosen.initial_actor]))


def sees_pixels(preset: str, rl: Mapping[str, Any]) -> bool:
    """Whether agents with these settings see the env's own observation alone."""
    settings = {**PRESETS.get(preset, {}), **rl}
    return bool(settings.get("observation", "features") == "image")


def run_config(run: Run, artifacts: Mapping[str, str]) -> RLConfig:
    """The settings of an RL run: the one place where a method becomes an `RLConfig`.

    Args:
        run: The run.
        artifacts: For each kind of `needed_parts` the packaged name or folder of the learned part;
            for "data" the folder of demonstrations that the agent is shown.

    Raises:
        UnknownNameError: No such method, preset or setting; the nearest is named.
        InvalidArgumentError: A setting outside its range.
    """
    method = _method(run.method)
    parts = needed_parts(run.method, from_pixels=sees_pixels(run.preset, run.rl))
    prior = artifacts[method.prior] if method.prior in parts else None
    settings: dict[str, Any] = {"prior": prior, "raw_actions": method.raw and prior is not None}
    if method.initial_actor:
        settings["initial_actor"] = artifacts[method.initial_actor]
    if "data" in artifacts:
        settings["demonstrations"] = artifacts["data"]
    if method.sees == "features":
        settings["observation"] = "features"
    return preset_config(
        run.preset,
        env_id=run.task,
        env_kwargs=run.env_kwargs,
        total_steps=run.env_steps,
        seed=run.rl_seed,
        **{**method.settings, **run.rl, **settings},
    )


def _method(name: str) -> Method:
    """A method of the paper, or the one that acts through another package's kind of prior."""
    base = base_method(name)
    if base not in METHODS and base not in PRIORS.added():
        raise unknown_name("method", name, METHODS)
    return METHODS.get(base, Method(prior=base))
