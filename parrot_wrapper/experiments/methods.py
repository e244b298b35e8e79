"""The methods that studies compare, runs of them, and how one becomes an `RLConfig`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from parrot_wrapper.checks import check_fields
from parrot_wrapper.errors import InvalidArgumentError, require_known, unknown_name
from parrot_wrapper.experiments import grid_checks as checks
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.rl.config import PRESETS, RLConfig, preset_config

RunKey = tuple[str, str, int, int, int | None, tuple[tuple[str, str], ...]]
"""What tells the runs of a grid apart in its result rows."""


@dataclass(frozen=True)
class Method:
    """A method of a study: what it is called, and how it uses what is learned from data.

    Attributes:
        name: As in rows and ids; "parrot+mine" is a variant of "parrot" in tables and figures.
        label: What tables and figures call it, before "+ mine"; the name where left out.
        colour: Of its lines and bars, as "#rrggbb"; one that is free where left out.
        prior: Kind of the learned part behind the wrapper: "prior" (the grid's flow), or one that
            `parrot train-prior --kind` knows; empty for none.
        raw: Acts in the env's own action space and only sees the features of `prior`.
        sees: "grid" for the observation that the grid says, "features" for those of `prior` always.
        keeps_prior: Needs `prior` even where the grid's agents see the env's own observation.
        initial_actor: Kind of the learned part that the actor starts from, empty for none.
        trains: Is an agent; otherwise it is for exploration grids alone.
        settings: `RLConfig` settings of its own, stronger than the grid's.
        data: Names of the grid's data that it is run with; empty for all.

    Raises:
        InvalidArgumentError: A value of the wrong type or form.

    Example:
        >>> Method("ours", "Ours", prior="cvae", settings={"gamma": 0.9}).parts(from_pixels=True)
        ('cvae',)
    """

    name: str
    label: str = ""
    colour: str = ""
    prior: str = "prior"
    raw: bool = False
    sees: str = "grid"
    keeps_prior: bool = True
    initial_actor: str = ""
    trains: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        checks.require_name("method.name", self.name.replace("+", "-"))
        if self.colour and not _COLOUR.fullmatch(self.colour):
            raise InvalidArgumentError(
                f"Expected method.colour in the form #rrggbb, got {self.colour!r}."
            )
        require_known("method.sees", [self.sees], ("grid", "features"))
        checks.require_options("method.settings", self.settings)
        checks.require_open(self.settings)
        if self.data:
            object.__setattr__(self, "data", checks.texts("method.data", self.data))

    @property
    def base(self) -> str:
        """The name of which it is a variant, or its own."""
        return self.name.partition("+")[0]

    @property
    def explored(self) -> tuple[str, ...]:
        """The learned parts that it samples in an exploration grid."""
        return tuple(filter(None, [self.prior]))

    def variant(self, name: str, data: tuple[str, ...] = (), **settings: Any) -> Method:
        """The same with more settings, called "NAME+name"."""
        more = {**self.settings, **settings}
        return replace(self, name=f"{self.name}+{name}", settings=more, data=data)

    def parts(self, *, from_pixels: bool) -> tuple[str, ...]:
        """Kinds of learned parts that it is built from.

        Args:
            from_pixels: Whether the grid's agents see the env's own observation, not features.

        Example:
            >>> METHODS["bc-sac"].parts(from_pixels=False), METHODS["sac"].parts(from_pixels=True)
            (('prior', 'bc'), ())
        """
        prior = self.prior if self.keeps_prior or not from_pixels else ""
        return tuple(filter(None, [prior, self.initial_actor]))


_COLOUR = re.compile("#[0-9a-f]{6}")

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("parrot", "PARROT", "#0072b2"),
            Method(
                "bc-sac", "BC-SAC", "#e69f00", raw=True, keeps_prior=False, initial_actor="bc"
            ),
            Method(
                "prior-explore", "Prior-explore", "#d55e00", raw=True,
                settings={"raw_actions": {"explore": 0.9}},
            ),
            Method("hirl", "HIRL", "#cc79a7", prior="cvae"),
            # one decision an episode of 25 env steps, and as many updates as the others make
            Method(
                "trajrl", "TrajRL", "#009e73", prior="trajectory", settings={"gradient_steps": 25}
            ),
            Method(
                "vae-features", "VAE-features", "#56b4e9", prior="features", raw=True,
                sees="features",
            ),
            Method("sac", "SAC", "#7a7f87", raw=True, keeps_prior=False),
            Method("uniform", "Uniform actions", "#7a7f87", prior="", trains=False),
        )
    }
)  # fmt: skip
"""PARROT, the paper's six comparisons (Singh et al. 2021, section 6) and plain random actions, in
the order of reports; Okabe and Ito's colours, which people with any colour vision tell apart."""

AGENTS = tuple(method for method in METHODS.values() if method.trains)
"""Methods of RL grids."""
EXPLORERS = tuple(method for method in METHODS.values() if not method.raw)
"""Methods of exploration grids: random behaviour, that of a learned part or of none."""
BASELINES = tuple(
    dict.fromkeys(
        part for m in METHODS.values() for part in (m.prior, m.initial_actor) if part
        if part != "prior"
    )
)  # fmt: skip
"""Kinds of learned parts of the paper's comparisons, by names that `parrot train-prior` knows."""


@dataclass(frozen=True)
class Run:
    """A run of a grid; plain values, so that another process can be told of it.

    Attributes:
        kind: "rl" for a training with its evaluation, "exploration" for rollouts without RL.
        grid: Name of its grid.
        setting: Setting of its grid.
        task: Env id.
        method: How it acts.
        prior_seed: Seed of what is learned from data.
        rl_seed: Seed of the agent and its episodes.
        needs: Kind of a learned part ("prior", "cvae", ...), or "data", to the name of an artifact
            of the grid, a packaged prior or a folder.
        data: Name of the data that these are learned from, empty where there is no choice.
        data_episodes: How many episodes those are; None where nothing is learned from data.
        labels: Free facts about the run that its row carries.
        env_kwargs: Keywords of `gymnasium.make`.
        preset: Preset of `RLConfig`.
        rl: `RLConfig` settings beside the preset's, those of the method included.
        env_steps: Env steps of training.
        evaluation_episodes: Held-out episodes.
        judge_episodes: Expert episodes that its prior is judged by beside; 0 for none.
        gym_packages: Modules whose import registers env ids.

    Example:
        >>> Run("rl", "main", "ci", "ParrotGraspCup-v0", Method("parrot"), 0, 2).id
        'ParrotGraspCup-v0/parrot/p0/r2'
    """

    kind: str
    grid: str
    setting: str
    task: str
    method: Method
    prior_seed: int
    rl_seed: int
    needs: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    data_episodes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    preset: str = "features"
    rl: Mapping[str, Any] = field(default_factory=dict)
    env_steps: int = 25_000
    evaluation_episodes: int = 100
    judge_episodes: int = 0
    gym_packages: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Stable name; also the run's folder below that of its grid."""
        task = self.task.replace("/", "-").replace(":", "-")
        parts = [task, self.method.name, self.data, f"p{self.prior_seed}", f"r{self.rl_seed}"]
        return "/".join(part for part in parts if part)

    @property
    def key(self) -> RunKey:
        """What its result row is known by."""
        labels = tuple(sorted(self.labels.items()))
        facts = (self.task, self.method.name, self.prior_seed, self.rl_seed)
        return (*facts, self.data_episodes, labels)


def method_named(name: str) -> Method:
    """The method with a name, variants of it included; it need not be one of `METHODS`."""
    base = name.partition("+")[0]
    kinds = set(PRIORS.names()) - set(BASELINES)
    if base not in METHODS and base not in kinds:
        raise unknown_name("method", name, {*METHODS, *kinds})
    return replace(METHODS.get(base, Method(base, prior=base)), name=name)


def sees_pixels(preset: str, rl: Mapping[str, Any]) -> bool:
    """Whether agents with these settings see the env's own observation alone."""
    settings = {**PRESETS.get(preset, {}), **rl}
    return bool(settings.get("observation", "features") == "image")


def shows_demonstrations(rl: Mapping[str, Any]) -> bool:
    """Whether agents with these settings replay demonstrations, which are then the grid's data."""
    replay = rl.get("replay")
    if not isinstance(replay, Mapping):
        return False
    return replay.get("kind") == "demonstrations" and "data" not in replay


def run_config(run: Run, artifacts: Mapping[str, str]) -> RLConfig:
    """The settings of an RL run: the one place where a method becomes an `RLConfig`.

    Args:
        run: The run.
        artifacts: For each of the method's `parts` the packaged name or folder of the learned part;
            for "data" the folder of demonstrations that the agent is shown.
    """
    method = run.method
    parts = method.parts(from_pixels=sees_pixels(run.preset, run.rl))
    prior = artifacts[method.prior] if method.prior in parts else None
    raw = dict(run.rl.get("raw_actions", {}))
    if method.initial_actor:
        raw["initial_actor"] = artifacts[method.initial_actor]
    acts_raw = method.raw or any(raw.values())
    settings: dict[str, Any] = {"prior": prior, "raw_actions": raw if acts_raw else None}
    if "data" in artifacts:
        settings["replay"] = {**run.rl["replay"], "data": artifacts["data"]}
    if method.sees == "features":
        settings["observation"] = "features"
    return preset_config(
        run.preset,
        env_id=run.task,
        env_kwargs=run.env_kwargs,
        total_steps=run.env_steps,
        seed=run.rl_seed,
        **{**run.rl, **settings},
    )
