"""`parrot train-prior`: fit a behavioural prior to a data set."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from parrot_wrapper.atomic_files import write_json
from parrot_wrapper.cli.environments import parse_env_kwargs
from parrot_wrapper.data import EpisodeDataset, load_dataset
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.training.data_facts import data_facts
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.types import PARTS, ObservationSpec

if TYPE_CHECKING:  # torch takes seconds, which --help should not
    from parrot_wrapper.priors.config import FlowPriorConfig
    from parrot_wrapper.priors.flow import FlowPrior
    from parrot_wrapper.training.prior import PriorReport

REPORT_FILE = "report.json"
_FEW_HELD_OUT, _MANY_PASSES = 5, 100
"""Priors of 500 episodes and more were fine after 13 to 77 passes; those of 10 and 20 episodes got
worse on held-out ones from 128 to 256 passes on, or before."""
_ARCHITECTURE = ("encoder", "encoder_options", "proprio", "state", "coupling_layers", "hidden")


@dataclass(frozen=True)
class TrainPriorCommand:
    """Fit a behavioural prior to a data set; the same command goes on after a kill.

    Attributes:
        data: Folder of the data set.
        out: Folder of the run; the prior goes into its subfolder prior.
        initial: Name or folder of a prior to start from instead of random weights; encoder and
            sizes are then its own.
        encoder: Name of the observation encoder; auto is structured for images, state without.
        encoder_options: Options of the encoder as key=value.
        proprio: Look at proprioception too, where the data have it.
        state: Look at the state vector too; leave it out beside images where only a simulator
            knows what it holds.
        coupling_layers: Affine coupling layers of the flow.
        hidden: Width of their nets.
        episodes: Use only the first so many episodes; 0 for all.
        training: Settings of the training.
        progress: Show a progress bar.
    """

    data: Path
    out: Path = Path("runs/prior")
    initial: str = ""
    encoder: str = "auto"
    encoder_options: tuple[str, ...] = ()
    proprio: bool = True
    state: bool = True
    coupling_layers: int = 4
    hidden: int = 256
    episodes: int = 0
    training: Annotated[PriorTrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=PriorTrainingConfig
    )
    progress: bool = True

    def run(self) -> None:
        """Train, save the prior, and say how good it is."""
        from parrot_wrapper.training.prior import fit_prior

        dataset = load_dataset(self.data, n_episodes=self.episodes or None)
        prior = self._initial_prior(dataset)
        before = prior.metadata
        print(f"The prior looks at {_described(prior.observation_spec)}; an env has to supply it.")
        print("".join(f"{line}\n" for line in _little_data(dataset, self.training)), end="")
        finished = (self.out / REPORT_FILE).exists()
        report = fit_prior(
            prior, dataset, self.training, run_folder=self.out, fine_tune=bool(self.initial),
            progress=self.progress,
        )  # fmt: skip
        settings = {**asdict(self), "data": str(self.data), "out": str(self.out)}
        write_json(self.out / "train-prior-config.json", settings)
        write_json(self.out / REPORT_FILE, report.to_dict())
        prior.set_metadata(
            {**self._metadata(dataset, report), **({"initial": dict(before)} if before else {})}
        )
        prior.save(self.out / "prior")
        if finished:
            print(f"{self.out}: was trained before; another --out, or a new folder, trains anew.")
        print(f"{self.out / 'prior'}: {report}.")

    def _initial_prior(self, dataset: EpisodeDataset) -> FlowPrior:
        from parrot_wrapper.priors.flow import FlowPrior
        from parrot_wrapper.priors.loading import load_prior

        if not self.initial:
            return FlowPrior(self._prior_config(dataset), seed=self.training.seed)
        chosen = [name for name in _ARCHITECTURE if getattr(self, name) != _default(name)]
        if chosen:
            raise InvalidArgumentError(
                f"Expected no {' and no '.join(chosen)} beside initial={self.initial!r}, whose "
                "encoder and sizes are kept. Leave out one or the other."
            )
        initial = load_prior(self.initial)
        if not isinstance(initial, FlowPrior):
            raise InvalidArgumentError(
                f"Expected a flow prior to start from, got {self.initial!r} of type "
                f"{initial.type_tag!r}."
            )
        return initial

    def _prior_config(self, dataset: EpisodeDataset) -> FlowPriorConfig:
        from parrot_wrapper.training.flow_config import flow_config

        return flow_config(
            dataset,
            encoder=self.encoder,
            encoder_options=parse_env_kwargs(self.encoder_options),
            proprio=self.proprio,
            state=self.state,
            coupling_layers=self.coupling_layers,
            hidden=self.hidden,
        )

    def _metadata(self, dataset: EpisodeDataset, report: PriorReport) -> dict[str, Any]:
        return {
            **data_facts(dataset),
            "metrics": report.metrics,
            "training": self.training.to_dict(),
            "command": self._command(),
        }

    def _command(self) -> str:
        """A command line that asks for the same training."""
        words = ["parrot", "train-prior"]
        defaults = {**asdict(TrainPriorCommand(Path())), **PriorTrainingConfig().to_dict()}
        given = {**asdict(self), **self.training.to_dict()}
        for name, value in given.items():
            if name in ("training", "progress") or (name != "data" and value == defaults[name]):
                continue
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                values = value if isinstance(value, tuple) else (value,)
                words += [f"--{flag}", *map(str, values)]
        return shlex.join(words)


def _described(spec: ObservationSpec) -> str:
    parts = {part: getattr(spec, part) for part in PARTS}
    return ", ".join(f"{part} {shape}" for part, shape in parts.items() if shape)


def _default(name: str) -> Any:
    return getattr(TrainPriorCommand, name)


def _little_data(dataset: EpisodeDataset, training: PriorTrainingConfig) -> Iterator[str]:
    """What the data are too few for, line by line."""
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
