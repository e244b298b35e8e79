"""`parrot train-prior`: fit a prior of any kind to a data set."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from parrot_wrapper.cli.environments import parse_env_kwargs
from parrot_wrapper.cli.options import chosen, default_of, helps, nesting, option
from parrot_wrapper.data import EpisodeDataset, load_dataset
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import RUN_SUBFOLDER, load_prior
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.priors.trainable import Trainable, prior_kind
from parrot_wrapper.surroundings import torch_threads
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior, training_device
from parrot_wrapper.training.prior_batches import warn_of_unread
from parrot_wrapper.training.prior_config import PriorTrainingConfig, training_config

REPORT_FILE = "report.json"
_FEW_HELD_OUT, _MANY_PASSES = 5, 100
"""Priors of 500 episodes and more were fine after 13 to 77 passes; those of 10 and 20 episodes got
worse on held-out ones from 128 to 256 passes on, or before."""
_TO_THE_RUN = ("training", "options", "progress")
"""Fields that the stored command leaves out, or writes option by option."""


@dataclass(frozen=True)
class TrainPriorCommand:
    """Fit a prior to a data set; the same command goes on after a kill.

    Further options are those of the kind: `parrot train-prior --kind cvae --help` lists them.

    Attributes:
        data: Folder of the data set.
        out: Folder of the run; the prior goes into its subfolder prior.
        kind: Kind of prior, ours or an installed package's.
        preset: "laptop", or "paper" for its steps, rates and sizes: what options that are left out
            take.
        initial: Name or folder of a prior to start from instead of random weights; encoder and
            sizes are then its own.
        encoder_of: Name or folder of a prior whose frozen encoder is shared, instead of one that
            learns from the observations.
        episodes: Use only the first so many episodes; 0 for all.
        cache: Folder in which features of a shared encoder are kept, for all kinds and seeds.
        progress: Show a progress bar.
    """

    data: Path
    out: Path = Path("runs/prior")
    kind: str = "flow"
    preset: str = "laptop"
    initial: str = ""
    encoder_of: str = ""
    episodes: int = 0
    cache: Path = Path("runs/features")
    progress: bool = True
    options: ClassVar[Any]
    training: ClassVar[PriorTrainingConfig]

    def run(self) -> None:
        """Train, save the prior, and say how good it is."""
        with torch_threads(self.training.threads):  # features are computed under them too
            dataset, prior = self._begin()
            for line in _remarks(prior, dataset, self.training):
                print(line)
            finished = (self.out / REPORT_FILE).exists()
            report = fit_prior(
                prior, dataset, self.training, run_folder=self.out, fine_tune=bool(self.initial),
                progress=self.progress,
            )  # fmt: skip
        folders = {name: str(getattr(self, name)) for name in ("data", "out", "cache")}
        write_json(self.out / "train-prior-config.json", {**asdict(self), **folders})
        write_json(self.out / REPORT_FILE, report.to_dict())
        prior.set_metadata({**prior.metadata, "command": self._command()})
        prior.save(self.out / RUN_SUBFOLDER)
        if finished:
            print(f"{self.out}: was trained before; another --out, or a new folder, trains anew.")
        print(f"{self.out / RUN_SUBFOLDER}: {report}.")

    def _given(self, *, beside_preset: bool) -> dict[str, Any]:
        """Options of the kind, as its config has them, that are not its defaults.

        Args:
            beside_preset: Nor those of the preset.
        """
        defaults, shown = _option_defaults(prior_kind(self.kind)), asdict(type(self.options)())
        return {
            name: value
            for name, given in asdict(self.options).items()
            if not (beside_preset and given == shown[name])
            and (value := _as_option(given, defaults[name])) != defaults[name]
        }

    def _begin(self) -> tuple[EpisodeDataset, Trainable]:
        """The data as the prior sees them, and the prior before its training."""
        kind = prior_kind(self.kind)
        if not self.encoder_of:
            dataset = load_dataset(self.data, n_episodes=self.episodes or None)
            prior = self._fine_tuned(kind) if self.initial else None
            seed = self.training.seed
            options = self._given(beside_preset=False)
            return dataset, prior or kind.for_data(dataset, seed=seed, **options)
        if self.initial:
            raise InvalidArgumentError(
                f"Expected no encoder_of beside initial={self.initial!r}, which has an encoder. "
                "Leave out one or the other."
            )
        shared = load_prior(self.encoder_of, device=training_device(self.training.device))
        dataset = self._features(kind, shared)
        options = self._given(beside_preset=False)
        prior = kind.for_data(dataset, shared=shared, seed=self.training.seed, **options)
        prior.set_metadata({"encoder": {"from": self.encoder_of, "sha256": shared.encoder_digest}})
        return dataset, prior

    def _features(self, kind: type[Trainable], shared: EncoderPrior) -> EpisodeDataset:
        """The data with a shared encoder's features; images are not read where these are kept."""
        episodes = self.episodes or None
        cache = FeatureCache(self.cache, shared)
        actions = load_dataset(self.data, n_episodes=episodes, actions_only=True)
        found = cache.find(actions) if kind.looks and kind.shares_encoder else actions
        if found is None:
            whole = load_dataset(self.data, n_episodes=episodes)
            return cache.make(whole, progress=self.progress)
        warn_of_unread(load_dataset(self.data, n_episodes=1), shared.observation_spec)
        return found

    def _fine_tuned(self, kind: type[Trainable]) -> Trainable:
        """The initial prior, with the given weights of losses and the like in place of its own."""
        initial = load_prior(self.initial)
        if type(initial) is not kind:
            raise InvalidArgumentError(
                f"Expected a prior of kind {self.kind!r} to start from, got {self.initial!r}; it "
                f"needs --kind {initial.type_tag}."
            )
        given = self._given(beside_preset=True)
        try:
            config = replace(initial.config, **given)
            prior = type(initial)(config, metadata=initial.metadata)
            prior.load_state_dict(initial.state_dict())
        except (RuntimeError, TypeError) as error:
            raise InvalidArgumentError(
                f"Expected no {' and no '.join(given)} beside initial={self.initial!r}, "
                "whose encoder and sizes are kept. Leave out one or the other."
            ) from error
        return prior

    def _command(self) -> str:
        """A command line that asks for the same training."""
        kind = prior_kind(self.kind)
        common = {entry.name: entry.default for entry in fields(TrainPriorCommand)}
        defaults = {
            **common,
            **asdict(_options(kind, self.preset, frozen=bool(self.encoder_of))()),
            **training_config(kind, self.preset, frozen=bool(self.encoder_of)).to_dict(),
        }
        given = {
            **{k: v for k, v in asdict(self).items() if k not in _TO_THE_RUN},
            **asdict(self.options),
            **self.training.to_dict(),
        }
        words = ["parrot", "train-prior"]
        for name, value in given.items():
            if name == "data" or value != defaults[name]:
                words += _words(name, value)
        return shlex.join(words)


def command(args: Sequence[str]) -> type[TrainPriorCommand]:
    """The command with the options and defaults of the kind and preset that `args` name.

    Raises:
        UnknownNameError: No such kind or preset.
    """
    words = chosen(args, kind="flow", preset="laptop", encoder_of="")
    kind, frozen = prior_kind(words["kind"]), bool(words["encoder_of"])
    return nesting(
        TrainPriorCommand,
        option("kind", str, "flow", f"One of {', '.join(PRIORS.names())}."),
        options=_options(kind, words["preset"], frozen=frozen)(),
        training=training_config(kind, words["preset"], frozen=frozen),
    )


def _options(kind: type[Trainable], preset: str, *, frozen: bool) -> type[Any]:
    """A dataclass of a kind's own options, with the defaults of a preset."""
    recipe = kind.recipe(preset, frozen=frozen)
    told = helps(*reversed(kind.config_class.__mro__), *_makers(kind))
    hints = get_type_hints(kind.config_class)
    for maker in _makers(kind):
        hints |= get_type_hints(maker, localns={"EncoderPrior": EncoderPrior})
    entries = []
    taken = {entry.name for entry in (*fields(TrainPriorCommand), *fields(PriorTrainingConfig))}
    for name, default in _option_defaults(kind).items():
        if name in taken:
            raise InvalidArgumentError(
                f"Expected another name for the option {name!r} of the kind of prior "
                f"{kind.type_tag!r}: the command and its training have one of that name."
            )
        entries.append(option(name, hints[name], recipe.get(name, default), told.get(name, "")))
    return make_dataclass("Options", entries, frozen=True)


def _option_defaults(kind: type[Trainable]) -> dict[str, Any]:
    """Fields of a kind's config that the data leave open; `for_data` may have its own defaults."""
    parameters = (p for made in _makers(kind) for p in inspect.signature(made).parameters.values())
    own = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    decided = {*getattr(kind.config_class, "FROM_DATA", ()), "shared", "seed"}
    defaults = {entry.name: default_of(entry) for entry in fields(kind.config_class)}
    return {name: value for name, value in {**defaults, **own}.items() if name not in decided}


def _as_option(value: Any, default: Any) -> Any:
    return parse_env_kwargs(value) if isinstance(default, Mapping) else value


def _makers(kind: type[Trainable]) -> list[Any]:
    """The `for_data` of a kind and of what it is derived from, the general ones first."""
    own = (vars(base).get("for_data") for base in reversed(kind.__mro__))
    return [made.__func__ for made in own if made is not None]


def _words(name: str, value: Any) -> Iterator[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        yield f"--{flag}" if value else f"--no-{flag}"
        return
    yield f"--{flag}"
    yield from map(str, value if isinstance(value, tuple) else (value,))


def _remarks(
    prior: Trainable, dataset: EpisodeDataset, training: PriorTrainingConfig
) -> Iterator[str]:
    """What to know before the training begins, line by line."""
    shapes = prior.observation_spec.parts.items()
    parts = ", ".join(f"{part} {shape if shape[1:] else shape[0]}" for part, shape in shapes)
    if parts and prior.looks:
        yield f"The prior looks at {parts}; an env has to supply it."
    held_out = max(1, round(training.validation_fraction * dataset.n_episodes))
    if held_out < _FEW_HELD_OUT:
        yield (
            f"Few data: only {held_out} of {dataset.n_episodes} episodes are held out, so that the "
            "validation loss says little. More episodes, or --validation-fraction 0.2, make it "
            "better."
        )
    passes = training.steps * training.batch_size / dataset.n_steps
    if passes > _MANY_PASSES:
        stops = (
            f"training stops after {training.patience} validations that are no better"
            if training.patience
            else "--patience 5 would stop it where validation gets worse"
        )
        yield (
            f"Few data: {training.steps} steps of {training.batch_size} see each of the "
            f"{dataset.n_steps} actions {passes:.0f} times; {stops}, and the best weights are "
            "kept. More episodes make a better prior."
        )
