"""Trainings, evaluations, collections and experiments with impossible settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from parrot_wrapper.errors import (
    CheckpointError,
    DataError,
    DataFileError,
    InvalidArgumentError,
    UnknownNameError,
)
from parrot_wrapper.evaluation import JudgeSettings, Rate, evaluate, judge_prior
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import read_grid
from parrot_wrapper.experiments.rows import read_rows
from parrot_wrapper.priors import VAEFeatures, VAEFeaturesConfig
from parrot_wrapper.record.collect import ExpertSource, collect, record_episode
from parrot_wrapper.rl.config import RLConfig, preset_config
from parrot_wrapper.rl.evaluation import evaluate_run, load_agent
from parrot_wrapper.rl.train import read_config, train
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.types import ObservationSpec
from tests.bad_input.mistakes import (
    ACTIONS,
    NOWHERE,
    STATES,
    Table,
    cases,
    check,
    dataset,
    prior,
)
from tests.helpers import AffinePrior, EchoEnv


def fit(data: Any = None, **settings: Any) -> Any:
    config = PriorTrainingConfig(**{"steps": 1, "batch_size": 4, "device": "cpu", **settings})
    return fit_prior(prior(), data or dataset(), config, progress=False)


def images_of(side: int) -> Any:
    return np.zeros((7, side, side, 3), np.uint8)


def images(side: int) -> VAEFeatures:
    spec = ObservationSpec(image=(side, side, 3))
    return VAEFeatures(VAEFeaturesConfig(spec, 2, encoder_options={"channels": 4}))


TABLE: Table = {
    DataError: [
        ("one episode", lambda: fit(dataset(STATES[:4], ACTIONS[:3], [3])), "two or more"),
        ("images for a state prior", lambda: fit(dataset(images_of(4))), "state"),
        ("images of another size", lambda: fit_prior(images(16), dataset(images_of(8))),
         r"image: the prior expects \(16, 16, 3\)"),
        ("another action dim", lambda: fit(dataset(actions=ACTIONS[:, :1])), "action"),
        ("another box", lambda: fit(dataset(action_high=2)), "box"),
    ],
    InvalidArgumentError: [
        ("an array as data", lambda: fit(ACTIONS.tolist()), "EpisodeDataset"),
        ("no flow", lambda: fit_prior(AffinePrior(), dataset()), "FlowPrior"),
        ("a mapping as settings", lambda: fit_prior(prior(), dataset(), {"steps": 1}),
         "PriorTrainingConfig"),
        ("no steps", lambda: fit(steps=0), "steps.*got 0"),
        ("text as steps", lambda: fit(steps="many"), "steps.*'many'"),
        ("fractional steps", lambda: fit(steps=1.5), "steps.*1.5"),
        ("a NaN rate", lambda: fit(learning_rate=float("nan")), "learning_rate"),
        ("no such device", lambda: fit(device="gpu"), "gpu"),
        ("an odd batch", lambda: fit(batch_size=5), "batch_size must be even"),
        ("an endless rate", lambda: fit(learning_rate=float("inf")), "positive and finite"),
        ("a decay of one", lambda: fit(ema_decay=1.0), r"ema_decay must be in \[0, 1\)"),
        ("nothing held out", lambda: fit(validation_fraction=0.0), r"must be in \(0, 1\)"),
        ("negative patience", lambda: fit(patience=-1), "patience must be 0 or more"),
        *[("no GPU here", lambda: fit(device="cuda"), "torch sees no GPU")]
        * (not torch.cuda.is_available()),
        ("None as id", lambda: RLConfig(None), "env_id.*None"),
        ("text as discount", lambda: RLConfig("Toy-v0", gamma="0.9"), "gamma.*'0.9'"),
        ("a NaN discount", lambda: RLConfig("Toy-v0", gamma=float("nan")), "gamma"),
        ("fractional steps", lambda: RLConfig("Toy-v0", total_steps=10.5), "total_steps"),
        ("true steps", lambda: RLConfig("Toy-v0", total_steps=True), "total_steps"),
        ("a width for widths", lambda: RLConfig("Toy-v0", net_arch=256), "net_arch"),
        ("text as widths", lambda: RLConfig("Toy-v0", net_arch=("a",)), "net_arch"),
        ("options as a list", lambda: RLConfig("Toy-v0", env_kwargs=[1]), "env_kwargs"),
        ("a negative seed", lambda: RLConfig("Toy-v0", seed=-1), "seed"),
        ("a live prior in settings", lambda: RLConfig("Toy-v0", prior=AffinePrior()), "prior"),
        ("a mapping as a run", lambda: train({"env_id": "Toy-v0"}, NOWHERE), "RLConfig"),
        ("no episodes", lambda: evaluate(lambda _: 0, EchoEnv(), episodes=0), "got 0"),
        ("text as episodes", lambda: evaluate(lambda _: 0, EchoEnv(), episodes="5"), "'5'"),
        ("more hits than tries", lambda: Rate(2, 1), "2 of 1"),
        ("text as hits", lambda: Rate("1", 2), "'1'"),
        ("no episodes to judge by", lambda: JudgeSettings(episodes=0), "episodes"),
        ("text as limits", lambda: JudgeSettings(limits="3"), "limits"),
        ("a name as prior", lambda: judge_prior("parrot-v0", EchoEnv()), "load_prior"),
        ("negative noise", lambda: ExpertSource("Toy-v0", noise=-1), "noise"),
        ("text as noise", lambda: ExpertSource("Toy-v0", noise="0.1"), "noise"),
        ("a fractional seed", lambda: ExpertSource("Toy-v0", base_seed=0.5), "base_seed"),
        ("no expert", lambda: record_episode(EchoEnv(), 0), "make_expert"),
        ("an id to collect in", lambda: collect("Toy-v0", n_episodes=1, folder=NOWHERE),
         "ExpertSource"),
        ("no episodes to collect",
         lambda: collect(ExpertSource("Toy-v0"), n_episodes=0, folder=NOWHERE),
         "got 0"),
        ("text to collect", lambda: collect(ExpertSource("Toy-v0"), n_episodes="5", folder=NOWHERE),
         "'5'"),
        ("no workers", lambda: collect(ExpertSource("Toy-v0"), n_episodes=1, folder=NOWHERE,
                                       workers=0), "workers >= 1, got 0"),
        ("NaN noise", lambda: ExpertSource("Toy-v0", noise=float("nan")), "noise >= 0.0, got nan"),
        ("no attempts", lambda: ExpertSource("Toy-v0", shard_attempts=0), "shard_attempts >= 1"),
        ("no tasks", lambda: Grid("a", "b", (), ("sac",)), "tasks"),
    ],
    UnknownNameError: [
        ("no such precision", lambda: fit(precision="float16"), "precision"),
        ("nearly a precision", lambda: fit(precision="bfloat"), "Did you mean 'bfloat16'"),
        ("no such field", lambda: RLConfig.from_dict({"env_id": "A", "gama": 1}), "'gamma'"),
        ("no such preset", lambda: preset_config("papre", env_id="Toy-v0"), "'paper'"),
        ("no such setting", lambda: preset_config("paper", env_id="Toy-v0", gama=1), "'gamma'"),
        ("no such method", lambda: Grid("a", "b", ("Toy-v0",), ("sacc",)), "'sac'"),
    ],
    CheckpointError: [
        ("no run there", lambda: read_config(NOWHERE), "settings of an RL run"),
        ("no agent there", lambda: load_agent(NOWHERE), "settings of an RL run"),
        ("no run to score", lambda: evaluate_run(NOWHERE), "settings of an RL run"),
    ],
    DataFileError: [
        ("no grid there", lambda: read_grid(NOWHERE), "grid"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), cases(TABLE))
def test_mistakes(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    check(call, error, message)


def test_rows_that_are_not_there_yet_are_none() -> None:
    assert read_rows(NOWHERE) == []


def test_numbers_of_numpy_are_numbers() -> None:
    config = RLConfig("Toy-v0", seed=np.int64(3), gamma=np.float32(0.5))
    assert json.dumps(config.to_dict()) and config.seed == 3
