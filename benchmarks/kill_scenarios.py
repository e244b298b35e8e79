"""Tiny work for `kill_and_resume.py`: what is done, what is finished, what has to come out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

import parrot_envs  # noqa: F401  # registers the ids
from parrot_wrapper.data import load_dataset
from parrot_wrapper.data.shards import verify_shard
from parrot_wrapper.data.storage import whole_shards
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import Places
from parrot_wrapper.experiments.rows import read_rows
from parrot_wrapper.experiments.runner import run_grid
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.priors.checkpoint import HEADER_FILE, read_prior
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.rl.checkpoint import list_checkpoints, read_header
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.logs import read_episodes, read_log
from parrot_wrapper.rl.train import LOG_FILE, MODEL_FILE, train
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_checkpoint import CHECKPOINT_FILE, read_training_checkpoint
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.prior_run import weights_digest
from parrot_wrapper.types import ObservationSpec

ENV_ID = "ParrotGraspCup-v0"
_CLOCKS = ("seconds", "wall_seconds", "finished", "time/fps", "time/time_elapsed", "t")
_BEGIN_ANEW = ("rollout/success_once", "parrot/clipped", "versions", "machine")
"""What `train` says that a resumed run does not carry over, and what is of the machine."""


@dataclass(frozen=True)
class Scenario:
    """Work in one folder that may be killed at any time.

    Attributes:
        work: Does it, or what is left of it.
        finished: What must never be lost, by name: a number may only grow, all else must stay.
            Reads every file that a resumed call would, so that a torn one is an error.
        result: What has to equal an unbroken run's.
    """

    work: Callable[[Path], object]
    finished: Callable[[Path], Mapping[str, Any]]
    result: Callable[[Path], Any]


def _collect(folder: Path) -> None:
    source = ExpertSource(ENV_ID, gym_packages=("parrot_envs",), shard_attempts=2)
    collect(source, n_episodes=6, folder=folder, workers=1, progress=False)


def _shards(folder: Path) -> dict[str, Any]:
    infos = whole_shards(folder)
    for info in infos:
        verify_shard(folder, info)
    return {f"shard {info.index}": info.sha256 for info in infos}


def _collected(folder: Path) -> Any:
    return load_dataset(folder).content_hash, _shards(folder)


def prepare(shared: Path) -> None:
    """Make what the other scenarios learn from."""
    if not (shared / "data").exists():
        _collect(shared / "data")


def _fit(shared: Path, folder: Path) -> None:
    data = load_dataset(shared / "data")
    spec = ObservationSpec(image=data.observation_spec.image)
    config = FlowPriorConfig(spec, 7, "convolutional", {"channels": 4, "embedding": 8}, hidden=8)
    settings = PriorTrainingConfig(
        steps=60, batch_size=8, warmup_steps=2, validate_every=15, validation_batches=1,
        checkpoint_every=6, log_every=5, threads=1, device="cpu", precision="float32",
    )  # fmt: skip
    prior = FlowPrior(config)
    report = fit_prior(prior, data, settings, run_folder=folder, progress=False)
    write_json(folder / "report.json", report.to_dict())
    prior.save(folder / "prior")


def _fitted_steps(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (folder / CHECKPOINT_FILE).exists():
        _, state = read_training_checkpoint(folder / CHECKPOINT_FILE)
        found["steps"] = state["progress"]["step"]
    if (folder / "prior" / HEADER_FILE).exists():
        read_prior(folder / "prior")
    return found


def _fitted(folder: Path) -> Any:
    report = json.loads((folder / "report.json").read_text())
    return weights_digest(load_prior(folder)), without_clocks(report)


RL: Mapping[str, Any] = {
    "learning_starts": 25,
    "batch_size": 16,
    "net_arch": (16,),
    "checkpoint_every": 25,
}


def _train(folder: Path) -> None:
    config = RLConfig(ENV_ID, prior="parrot-v0", device="cpu", total_steps=150, **RL)
    train(config, folder, make_env=gym.make, progress=False)


def _trained_steps(folder: Path) -> dict[str, Any]:
    checkpoints = list_checkpoints(folder / "checkpoints")
    read_log(folder / LOG_FILE)
    read_episodes(folder)
    return {"steps": read_header(checkpoints[-1])["step"]} if checkpoints else {}


def _trained(folder: Path) -> Any:
    [checkpoint] = list_checkpoints(folder / "checkpoints")
    assert (folder / MODEL_FILE).exists()
    header = without_clocks(read_header(checkpoint))
    rows = [without_clocks(row) for row in read_log(folder / LOG_FILE)]
    return header, rows, read_episodes(folder)


def _places(folder: Path) -> Places:
    return Places(folder / "results", folder / "runs")


def _experiment(folder: Path) -> None:
    grid = Grid(
        "kill", "tiny", (ENV_ID,), ("parrot", "sac"), rl_seeds=(0,), env_steps=75,
        evaluation_episodes=1, rl={**RL, "net_arch": [16]},
    )  # fmt: skip
    outcome = run_grid(grid, _places(folder), device="cpu", progress=False)
    assert not outcome.failures, outcome.failures


def _rows(folder: Path) -> dict[str, Any]:
    rows = {str(row.key): without_clocks(row.to_dict()) for row in read_rows(folder / "results")}
    for checkpoint in sorted((folder / "runs").rglob("checkpoints")):
        steps = _trained_steps(checkpoint.parent)
        rows |= {f"{checkpoint.parent.name} of {checkpoint.parents[2].name}": steps.get("steps", 0)}
    return rows


def _experimented(folder: Path) -> Any:
    return {key: row for key, row in _rows(folder).items() if isinstance(row, dict)}


def without_clocks(content: Any) -> Any:
    """What is left of JSON without what every run has of its own."""
    if isinstance(content, dict):
        left_out = (*_CLOCKS, *_BEGIN_ANEW)
        return {k: without_clocks(v) for k, v in content.items() if k not in left_out}
    return [without_clocks(v) for v in content] if isinstance(content, list | tuple) else content


def scenarios(shared: Path) -> dict[str, Scenario]:
    """All of them by the name of the command whose work they do."""
    return {
        "collect": Scenario(_collect, _shards, _collected),
        "train-prior": Scenario(lambda folder: _fit(shared, folder), _fitted_steps, _fitted),
        "train": Scenario(_train, _trained_steps, _trained),
        "experiment": Scenario(_experiment, _rows, _experimented),
    }


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of what was finished and is no more."""
    return [
        name
        for name, value in before.items()
        if name not in after
        or (after[name] < value if isinstance(value, int) else after[name] != value)
    ]
