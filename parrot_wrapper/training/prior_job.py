"""A prior of any kind, trained from the folder of a data set into the folder of a run."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from parrot_wrapper.checks import as_path, defaults_of, key_values, require_count
from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.streaming import ShardStream
from parrot_wrapper.errors import InvalidArgumentError, require_known
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import RUN_SUBFOLDER, load_prior
from parrot_wrapper.priors.trainable import Trainable, prior_kind
from parrot_wrapper.surroundings import torch_threads
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import PriorReport, fit_prior, training_device
from parrot_wrapper.training.prior_batches import warn_of_unread
from parrot_wrapper.training.prior_config import PriorTrainingConfig, training_config
from parrot_wrapper.training.prior_data import Data, in_memory
from parrot_wrapper.training.ranks import joined, ranks

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class PriorJob:
    """What is trained, from what, and where to.

    Attributes:
        data: Folder of the data set, or a URL of a copy that fsspec knows, as s3://bucket/data.
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
        shards: Shards of the data that are in memory at a time, two or more, where there are more
            of them; 0 for all.
    """

    data: Path
    out: Path = Path("runs/prior")
    kind: str = "flow"
    preset: str = "laptop"
    initial: str = ""
    encoder_of: str = ""
    episodes: int = 0
    cache: Path = Path("runs/features")
    shards: int = 0

    def __post_init__(self) -> None:
        require_count("shards", self.shards, 0)
        for name in ("out", "cache"):
            object.__setattr__(self, name, as_path(name, getattr(self, name)))


def train_prior(
    job: PriorJob,
    settings: Mapping[str, Any],
    *,
    begun: Callable[[Data, Trainable], None] | None = None,
    progress: bool = True,
) -> PriorReport:
    """Train a prior, and save it with its report; the same call goes on after a kill.

    Of processes that `torchrun` has started, rank 0 saves.

    Args:
        job: What, from what, and where to.
        settings: Fields of `PriorTrainingConfig` and options of the kind by name, in place of those
            of the preset.
        begun: Called with the data and the untrained prior.
        progress: Show a progress bar.
    """
    kind, frozen = prior_kind(job.kind), bool(job.encoder_of)
    usual = training_config(kind, job.preset, frozen=frozen)
    chosen = {name: settings[name] for name in usual.to_dict() if name in settings}
    training = replace(usual, **chosen)
    named = {name: value for name, value in settings.items() if name not in chosen}
    shown = kind_options(kind, job.preset, frozen=frozen)
    require_known(f"setting of a prior of kind {job.kind!r}", named, {*usual.to_dict(), *shown})
    options = {name: _as_option(value, shown[name]) for name, value in named.items()}
    with torch_threads(training.threads):  # features are computed under them too
        dataset, prior = _begin(job, kind, options, training, progress=progress)
        if begun is not None and ranks().leads:
            begun(dataset, prior)
        report = fit_prior(
            prior, dataset, training, run_folder=job.out, fine_tune=bool(job.initial),
            progress=progress,
        )  # fmt: skip
    if not ranks().leads:
        return report
    now = {**asdict(job), "options": {**shown, **options}, "training": training.to_dict()}
    write_json(job.out / "train-prior-config.json", json.loads(json.dumps(now, default=str)))
    write_json(job.out / REPORT_FILE, report.to_dict())
    usually = {**defaults_of(PriorJob), **shown, **usual.to_dict()}
    line = _command_line({**asdict(job), **shown, **options, **training.to_dict()}, usually)
    prior.set_metadata({**prior.metadata, "command": line})
    prior.save(job.out / RUN_SUBFOLDER)
    return report


def kind_options(kind: type[Trainable], preset: str, *, frozen: bool) -> dict[str, Any]:
    """Fields of a kind's config that the data leave open, with the values of a preset.

    Args:
        kind: Of prior.
        preset: "laptop" or "paper".
        frozen: Whether it is trained on the features of another prior's encoder.
    """
    recipe = kind.recipe(preset, frozen=frozen)
    return {name: recipe.get(name, value) for name, value in _config_defaults(kind).items()}


def makers(kind: type[Trainable]) -> list[Any]:
    """The `for_data` of a kind and of what it is derived from, the general ones first."""
    own = (vars(base).get("for_data") for base in reversed(kind.__mro__))
    return [made.__func__ for made in own if made is not None]


def _config_defaults(kind: type[Trainable]) -> dict[str, Any]:
    """`for_data` may have its own defaults beside those of the config."""
    parameters = (p for made in makers(kind) for p in inspect.signature(made).parameters.values())
    own = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    decided = {*getattr(kind.config_class, "FROM_DATA", ()), "shared", "seed"}
    values = {**defaults_of(kind.config_class), **own}
    return {name: value for name, value in values.items() if name not in decided}


def _as_option(value: Any, default: Any) -> Any:
    """An option as the config has it: key=value as a mapping, a list as a tuple."""
    if isinstance(default, Mapping):
        return key_values(value)
    return tuple(value) if isinstance(value, list) else value


def _begin(
    job: PriorJob,
    kind: type[Trainable],
    given: Mapping[str, Any],
    training: PriorTrainingConfig,
    *,
    progress: bool,
) -> tuple[Data, Trainable]:
    """The data as the prior sees them, and the prior before its training."""
    usual = _config_defaults(kind)
    options = {**kind_options(kind, job.preset, frozen=bool(job.encoder_of)), **given}
    options = {name: value for name, value in options.items() if value != usual[name]}
    if not job.encoder_of:
        dataset = _data(job)
        prior = _fine_tuned(job, kind, given) if job.initial else None
        seen = in_memory(dataset)
        return dataset, prior or kind.for_data(seen, seed=training.seed, **options)
    if job.initial:
        raise InvalidArgumentError(
            f"Expected no encoder_of beside initial={job.initial!r}, which has an encoder. "
            "Leave out one or the other."
        )
    device = training_device(training.device)
    shared = load_prior(job.encoder_of, device=device)
    together = joined(device) if job.shards else None  # else each makes or finds all
    cache = FeatureCache(job.cache, shared, together)
    dataset = _features(job, kind, shared, cache, progress=progress)
    prior = kind.for_data(in_memory(dataset), shared=shared, seed=training.seed, **options)
    prior.set_metadata(
        {**prior.metadata, "encoder": {"from": job.encoder_of, "sha256": shared.encoder_digest}}
    )
    return dataset, prior


def _data(job: PriorJob, *, actions_only: bool = False) -> Data:
    """All in memory, or a window of them."""
    if job.shards:
        stream = ShardStream(job.data, job.shards, job.episodes)
        if len(stream.numbers) > job.shards:
            return stream.completed_by(lambda actions: actions) if actions_only else stream
    return load_dataset(job.data, n_episodes=job.episodes or None, actions_only=actions_only)


def _features(
    job: PriorJob,
    kind: type[Trainable],
    shared: EncoderPrior,
    cache: FeatureCache,
    *,
    progress: bool,
) -> Data:
    """The data with a shared encoder's features; images are not read where these are kept."""
    actions = _data(job, actions_only=True)
    warn_of_unread(load_dataset(job.data, n_episodes=1), shared.observation_spec)
    if not (kind.looks and kind.shares_encoder):
        return actions
    found = None if isinstance(actions, ShardStream) else cache.find(actions)
    return found or cache.make(_data(job), progress=progress)


def _fine_tuned(job: PriorJob, kind: type[Trainable], given: Mapping[str, Any]) -> Trainable:
    """The initial prior, with the given weights of losses and the like in place of its own."""
    initial = load_prior(job.initial)
    if type(initial) is not kind:
        raise InvalidArgumentError(
            f"Expected a prior of kind {job.kind!r} to start from, got {job.initial!r}; it needs "
            f"--kind {initial.type_tag}."
        )
    try:
        config = replace(initial.config, **given)
        prior = type(initial)(config, metadata=initial.metadata)
        prior.load_state_dict(initial.state_dict())
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(
            f"Expected no {' and no '.join(given)} beside initial={job.initial!r}, whose encoder "
            "and sizes are kept. Leave out one or the other."
        ) from error
    return prior


def _command_line(values: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """A `parrot train-prior` that asks for the same training."""
    words = ["parrot", "train-prior"]
    for name, value in values.items():
        if value != usual[name]:
            words += _words(f"--{name.replace('_', '-')}", value)
    return shlex.join(words)


def _words(flag: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield flag if value else f"--no-{flag[2:]}"
        return
    yield flag
    if isinstance(value, Mapping):
        texts = ((k, v if isinstance(v, str) else json.dumps(v)) for k, v in value.items())
        yield from (f"{key}={text}" for key, text in texts)
    else:
        yield from map(str, value if isinstance(value, tuple) else (value,))
