"""A grid of runs as one value: which runs there are, in which order, and what they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from parrot_wrapper.checks import require_count, require_instance
from parrot_wrapper.errors import InvalidArgumentError, require_known, unknown_name
from parrot_wrapper.experiments import grid_checks as checks
from parrot_wrapper.experiments.artifacts import (
    Artifact,
    PriorData,
    all_artifacts,
    need_name,
    part_kind,
)
from parrot_wrapper.experiments.methods import (
    AGENTS,
    EXPLORERS,
    METHODS,
    Method,
    Run,
    method_named,
    run_config,
    sees_pixels,
    shows_demonstrations,
)
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.registry import DEFAULT_PACKAGES, DEFAULT_PRIOR

KINDS = ("rl", "exploration")


@dataclass(frozen=True)
class Grid:
    """Tasks x methods x seeds of learned parts x RL seeds x data, all under one setting.

    Attributes:
        name: What it is about, such as "main".
        setting: How large it is, such as "laptop". Name and setting name its folders.
        tasks: Env ids.
        methods: `Method` objects, or names of ours. In a file an object's fields by name, of which
            those of a variant ("parrot+mine") are as for "parrot" where they are left out.
        kind: "rl", or "exploration" for rollouts of samples without RL.
        prior_seeds: Seeds of what is learned from data.
        rl_seeds: Seeds of agents.
        data: What priors and baselines are learned from; may be empty where nothing is.
        prior: Flow prior of all runs, a name or folder; empty to train one for each data and seed.
        prior_encoder: Prior whose frozen encoder those share; empty for encoders of their own.
        prior_options: Options of `parrot train-prior` by name; with `kind` flow if they share.
        shared_encoder: Baselines see the frozen features of the flow prior, not their own.
        baseline_options: For each kind of baseline, options of `parrot train-prior` by name. With
            "kind" among them the name is free: so one kind can be several parts of a grid.
        judge_episodes: Expert episodes that the prior of each run with the first RL seed is judged
            by beside; 0 for none.
        env_kwargs: Keywords of `gymnasium.make`.
        preset: Preset of `RLConfig`.
        rl: `RLConfig` settings beside the preset's.
        env_steps: Env steps of each run.
        evaluation_episodes: Held-out episodes of each run.
        gym_packages: Modules whose import registers env ids.

    Raises:
        UnknownNameError: No such method, preset, kind or RL setting; the nearest is named.
        InvalidArgumentError: A value of the wrong type or outside its range, or two runs alike.

    Example:
        >>> grid = Grid("mine", "quick", tasks=("ParrotGraspCup-v0",), methods=("parrot", "sac"))
        >>> [run.id for run in grid.runs()][:2]
        ['ParrotGraspCup-v0/parrot/p0/r0', 'ParrotGraspCup-v0/sac/p0/r0']
        >>> Grid.from_dict(grid.to_dict()) == grid
        True
    """

    name: str
    setting: str
    tasks: tuple[str, ...]
    methods: tuple[Method, ...]
    kind: str = "rl"
    prior_seeds: tuple[int, ...] = (0,)
    rl_seeds: tuple[int, ...] = (0, 1, 2)
    data: tuple[PriorData, ...] = ()
    prior: str = DEFAULT_PRIOR
    prior_encoder: str = ""
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    shared_encoder: bool = True
    baseline_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    judge_episodes: int = 0
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    preset: str = "features"
    rl: Mapping[str, Any] = field(default_factory=dict)
    env_steps: int = 25_000
    evaluation_episodes: int = 100
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES

    def __post_init__(self) -> None:
        for name in ("tasks", "gym_packages"):
            object.__setattr__(self, name, checks.texts(name, getattr(self, name)))
        for name in ("prior_seeds", "rl_seeds"):
            object.__setattr__(self, name, checks.seeds(name, getattr(self, name)))
        require_known("kind of grid", [self.kind], KINDS)
        self._check_values()
        self._check_options()
        object.__setattr__(self, "methods", self._methods())
        self._check_methods()
        self._check_runs()

    @property
    def folder(self) -> str:
        """Name of its folder below `runs/` and `results/`."""
        return f"{self.name}-{self.setting}"

    def runs(self) -> tuple[Run, ...]:
        """All runs: RL seeds outermost, then methods as listed, then tasks.

        So an unfinished grid has every method on every task before the second seed. A method that
        uses nothing of what is varied (plain SAC does not know the data) is listed once.
        """
        return tuple(
            self._run(task, method, data, prior_seed, rl_seed)
            for rl_seed in self.rl_seeds
            for turn, prior_seed in enumerate(self.prior_seeds)
            for method in self.methods
            for data in self._data_of(method, first_seed=turn == 0)
            for task in self.tasks
        )

    def artifacts(self, runs: Iterable[Run]) -> tuple[Artifact, ...]:
        """What `runs`, some of this grid's, need and the grid makes; what is needed first, first.

        An artifact stands behind those that it is made from.
        """
        runs = tuple(runs)
        parts = dict.fromkeys(part for run in runs for part in run.needs)
        everything = all_artifacts(
            self.data,
            self.prior_seeds,
            [part for part in parts if part not in ("prior", "data")],
            prior=self.prior,
            prior_encoder=self.prior_encoder,
            prior_options=self.prior_options,
            baseline_options=self.baseline_options,
            shared_encoder=self.shared_encoder,
        )
        made = {artifact.name: artifact for artifact in everything}
        wanted: dict[str, Artifact] = {}

        def want(name: str) -> None:
            if name in made and name not in wanted:
                want(made[name].data)
                want(made[name].encoder)
                wanted[name] = made[name]

        for name in (name for run in runs for name in run.needs.values()):
            want(name)
        return tuple(wanted.values())

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able; methods of ours by name, others by what is not as in ours."""
        return {**checks.plain(self), "methods": [_told(method) for method in self.methods]}

    @classmethod
    def from_dict(cls, content: object) -> Grid:
        """The inverse of `to_dict`; what is left out takes its default.

        Raises:
            UnknownNameError: A key that is no field; the nearest is named.
            InvalidArgumentError: A field is missing, or as for a new grid.
        """
        values = checks.fields_of(cls, "grid", content)
        if "data" in values:
            entries = checks.entries("data", values["data"])
            parsed = (PriorData(**checks.fields_of(PriorData, "data", e)) for e in entries)
            values["data"] = tuple(parsed)
        methods = checks.entries("methods", values["methods"])
        values["methods"] = tuple(map(_heard, methods))
        return cls(**values)

    def _methods(self) -> tuple[Method, ...]:
        """All methods as objects."""
        given = checks.entries("methods", self.methods)
        checks.texts("methods", [m.name if isinstance(m, Method) else m for m in given])
        return tuple(m if isinstance(m, Method) else self._by_name(m) for m in given)

    def _by_name(self, name: str) -> Method:
        """One of ours, whose settings do not outdo the grid's."""
        if "+" in name:
            raise InvalidArgumentError(
                f"Expected a variant as a Method, or as its fields, got {name!r}."
            )
        method = method_named(name)
        own = {key: value for key, value in method.settings.items() if key not in self.rl}
        return replace(method, settings=own)

    def _check_values(self) -> None:
        for name in ("name", "setting"):
            checks.require_name(name, getattr(self, name))
        for name in ("prior", "prior_encoder"):
            require_instance(name, getattr(self, name), str, "text")
        for name in ("env_steps", "evaluation_episodes"):
            require_count(name, getattr(self, name))
        require_count("judge_episodes", self.judge_episodes, least=0)
        require_instance("shared_encoder", self.shared_encoder, bool, "true or false")

    def _check_options(self) -> None:
        for name in ("prior_options", "env_kwargs", "rl"):
            checks.require_options(name, getattr(self, name))
        checks.require_nested_options("baseline_options", self.baseline_options)
        for part in self.baseline_options:
            PRIORS.require(part_kind(part, self.baseline_options))
        checks.require_open(self.rl)

    def _check_methods(self) -> None:
        known = [data.name for data in self.data]
        explores = self.kind == "exploration"
        for method in self.methods:
            if method.raw if explores else not method.trains:
                what = "method of an exploration grid" if explores else "method"
                ours = EXPLORERS if explores else AGENTS
                raise unknown_name(what, method.name, [other.name for other in ours])
            for part in filter(None, [method.prior, method.initial_actor]):
                if part != "prior":
                    PRIORS.require(part_kind(part, self.baseline_options))
            require_known(f"data of {method.name}", method.data, known)
        if not self.data and any(self._is_made(method) for method in self.methods):
            names = ", ".join(method.name for method in self.methods)
            raise InvalidArgumentError(
                f"Expected data to learn from, got none; {names} with "
                f"prior={self.prior!r} need some."
            )

    def _check_runs(self) -> None:
        runs = self.runs()
        for mark in ("id", "key"):
            first: dict[object, Run] = {}
            for run in runs:
                other = first.setdefault(getattr(run, mark), run)
                if other is not run:
                    raise InvalidArgumentError(
                        f"Expected data that differ in name, and in episodes or labels, got "
                        f"{run.id} and {other.id} alike."
                    )
        if self.kind == "rl":
            for run in runs:
                run_config(run, dict.fromkeys(run.needs, "placeholder"))

    def _rl(self, method: Method) -> dict[str, Any]:
        return {**self.rl, **method.settings}

    def _parts(self, method: Method) -> tuple[str, ...]:
        if self.kind == "exploration":
            return method.explored
        rl = self._rl(method)
        shown = ("data",) if shows_demonstrations(rl) else ()
        return (*method.parts(from_pixels=sees_pixels(self.preset, rl)), *shown)

    def _is_made(self, method: Method) -> bool:
        """Whether a learned part of the method is made by this grid."""
        return not all(self._is_given(part) for part in self._parts(method))

    def _is_given(self, part: str) -> bool:
        return part == "prior" and bool(self.prior)

    def _data_of(self, method: Method, *, first_seed: bool) -> Iterator[PriorData | None]:
        """The data that the method is run with; none with further seeds that it does not use."""
        if self._is_made(method):
            yield from (d for d in self.data if not method.data or d.name in method.data)
        elif first_seed:
            yield self.data[0] if self.data and self._parts(method) else None

    def _run(
        self, task: str, method: Method, data: PriorData | None, prior_seed: int, rl_seed: int
    ) -> Run:
        needs = {
            part: self.prior
            if data is None or self._is_given(part)
            else need_name(part, data, prior_seed, self.data)
            for part in self._parts(method)
        }
        return Run(
            kind=self.kind,
            grid=self.name,
            setting=self.setting,
            task=task,
            method=method,
            prior_seed=prior_seed,
            rl_seed=rl_seed,
            needs=needs,
            data=data.name if data else "",
            data_episodes=data.episodes if data else None,
            labels=dict(data.labels) if data else {},
            env_kwargs=self.env_kwargs,
            preset=self.preset,
            rl=self._rl(method),
            env_steps=self.env_steps,
            evaluation_episodes=self.evaluation_episodes,
            judge_episodes=self.judge_episodes if rl_seed == self.rl_seeds[0] else 0,
            gym_packages=self.gym_packages,
        )


def _told(method: Method) -> str | dict[str, Any]:
    """A method for a grid's file; see `_heard` for the inverse."""
    ours = METHODS.get(method.base, Method(method.base))
    if method == METHODS.get(method.name):
        return method.name
    values, known = checks.plain(method), checks.plain(ours)
    return {key: value for key, value in values.items() if key == "name" or value != known[key]}


def _heard(entry: object) -> object:
    if not isinstance(entry, Mapping):
        return entry
    values = checks.fields_of(Method, "method", entry)
    require_instance("method.name", values["name"], str, "text")
    return replace(METHODS.get(values["name"].partition("+")[0], Method("a")), **values)
