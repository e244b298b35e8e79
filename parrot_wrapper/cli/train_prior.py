"""`parrot train-prior`: fit a prior of any kind to a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, make_dataclass
from typing import Any, ClassVar, get_type_hints

from parrot_wrapper.cli.arguments import chosen, helps, nesting, option
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.loading import RUN_SUBFOLDER
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.priors.trainable import Trainable, prior_kind
from parrot_wrapper.training.prior_config import PriorTrainingConfig, training_config
from parrot_wrapper.training.prior_data import Data, in_memory
from parrot_wrapper.training.prior_job import (
    REPORT_FILE,
    PriorJob,
    kind_options,
    makers,
    train_prior,
)
from parrot_wrapper.training.ranks import ranks

_FEW_HELD_OUT, _MANY_PASSES = 5, 100
"""Priors of 500 episodes and more were fine after 13 to 77 passes; those of 10 and 20 episodes got
worse on held-out ones from 128 to 256 passes on, or before."""


@dataclass(frozen=True)
class TrainPriorCommand(PriorJob):
    """Fit a prior to a data set; the same command goes on after a kill.

    `torchrun --nproc-per-node N -m parrot_wrapper train-prior ...` shares batches among N.

    Further options are those of the kind: `parrot train-prior --kind cvae --help` lists them.

    Attributes:
        progress: Show a progress bar.
    """

    progress: bool = True
    options: ClassVar[Any]
    training: ClassVar[PriorTrainingConfig]

    def run(self) -> None:
        """Train, save the prior, and say how good it is."""
        shown = asdict(type(self.options)())
        given = {k: value for k, value in asdict(self.options).items() if value != shown[k]}
        job = PriorJob(**{entry.name: getattr(self, entry.name) for entry in fields(PriorJob)})
        finished = (self.out / REPORT_FILE).exists()
        settings = {**given, **self.training.to_dict()}
        report = train_prior(job, settings, begun=self._tell, progress=self.progress)
        if not ranks().leads:
            return
        if finished:
            print(f"{self.out}: was trained before; another --out, or a new folder, trains anew.")
        print(f"{self.out / RUN_SUBFOLDER}: {report}.")

    def _tell(self, dataset: Data, prior: Trainable) -> None:
        for line in _remarks(prior, dataset, self.training):
            print(line)


def command(args: Sequence[str]) -> type[TrainPriorCommand]:
    """The command with the options and defaults of the kind and preset that `args` name."""
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
    told = helps(*reversed(kind.config_class.__mro__), *makers(kind))
    hints = get_type_hints(kind.config_class)
    for maker in makers(kind):
        hints |= get_type_hints(maker, localns={"EncoderPrior": EncoderPrior})
    entries = []
    taken = {entry.name for entry in (*fields(TrainPriorCommand), *fields(PriorTrainingConfig))}
    for name, value in kind_options(kind, preset, frozen=frozen).items():
        if name in taken:
            raise InvalidArgumentError(
                f"Expected another name for the option {name!r} of the kind of prior "
                f"{kind.type_tag!r}: the command and its training have one of that name."
            )
        entries.append(option(name, hints[name], value, told.get(name, "")))
    return make_dataclass("Options", entries, frozen=True)


def _remarks(prior: Trainable, dataset: Data, training: PriorTrainingConfig) -> Iterator[str]:
    """What to know before the training begins, line by line."""
    shapes = prior.observation_spec.parts.items()
    parts = ", ".join(f"{part} {shape if shape[1:] else shape[0]}" for part, shape in shapes)
    if parts and prior.looks:
        yield f"The prior looks at {parts}; an env has to supply it."
    yield from (f"What teaches the encoder: {line}." for line in prior.lessons(in_memory(dataset)))
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
