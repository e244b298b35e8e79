"""One small file or folder of each kind that is read back, with its loader and what it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parrot_wrapper.data import EpisodeDataset, load_dataset, save_dataset
from parrot_wrapper.experiments.artifacts import Artifact, begin, is_made, making_folder
from parrot_wrapper.experiments.grid import Grid
from parrot_wrapper.experiments.grid_folders import read_grid
from parrot_wrapper.experiments.plan import ROW_FILE, left_row, steps_so_far
from parrot_wrapper.experiments.rows import ResultRow, Share, append_row, read_rows
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.rl.checkpoint import list_checkpoints, load_checkpoint
from parrot_wrapper.rl.cloned_actor import ClonedActor, ClonedActorConfig, load_cloned_actor
from parrot_wrapper.rl.logs import cut_log, read_episodes, read_log
from parrot_wrapper.rl.model import build_model, wrap_env
from parrot_wrapper.rl.replay.buffers import replay_arrays
from parrot_wrapper.rl.train import LOG_FILE, read_config, train
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior_checkpoint import (
    read_training_checkpoint,
    write_training_checkpoint,
)
from parrot_wrapper.types import ObservationSpec
from tests.training.toy_rl import ReachEnv, toy_config

STATE = ObservationSpec(state=4)


@dataclass(frozen=True)
class Specimen:
    """Something on disk that a user might load.

    Attributes:
        name: Of the kind.
        folder: Its files.
        load: Reads it; returns a digest of all that it found.
        checked: Whether a checksum stands over everything, so that altered content is refused.
            Without one (files that people write by hand) it may load as something else.
    """

    name: str
    folder: Path
    load: Callable[[], str]
    checked: bool

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def make_specimens(root: Path) -> list[Specimen]:
    """Write one of each kind below `root`."""
    prior = FlowPrior(FlowPriorConfig(STATE, 2, "state", hidden=8), metadata={"note": [1, 2.5]})
    data = toy_data()
    return [
        _prior(root / "prior", prior), _actor(root / "actor"), _dataset(root / "dataset", data),
        _features(root / "features", prior, data), _fitting(root / "fitting", prior),
        *_run(root / "run"), *_results(root), _artifact(root / "artifacts"),
    ]  # fmt: skip


def toy_data() -> EpisodeDataset:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (13, 6, 5, 3), dtype=np.uint8)
    seen = {"image": image, "state": rng.normal(size=(13, 4))}
    return EpisodeDataset.from_arrays(
        seen, rng.uniform(-1, 1, (10, 2)), [5, 3, 2], labels={"goal": rng.normal(size=(13, 2))}
    )


def digest_of(content: Any) -> str:
    """A digest of nested JSON, arrays and tensors."""
    return hashlib.sha256(repr(_plain(content)).encode()).hexdigest()


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return sorted((str(key), _plain(value)) for key, value in content.items())
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, torch.Tensor):
        content = content.detach().cpu().numpy()
    if isinstance(content, np.ndarray):
        return content.dtype.str, content.shape, content.tobytes()
    return content


def _prior(folder: Path, prior: FlowPrior) -> Specimen:
    prior.save(folder)

    def load() -> str:
        found = load_prior(folder)
        return digest_of([found.state_dict(), found.config.to_dict(), dict(found.metadata)])

    return Specimen("prior", folder, load, True)


def _actor(folder: Path) -> Specimen:
    config = ClonedActorConfig((-1.0,), (1.0,), features_dim=3, net_arch=(4,))
    ClonedActor(config).save(folder)

    def load() -> str:
        found = load_cloned_actor(folder)
        return digest_of([found.state_dict(), found.config.to_dict()])

    return Specimen("cloned actor", folder, load, True)


def _dataset(folder: Path, data: EpisodeDataset) -> Specimen:
    save_dataset(data, folder, episodes_per_shard=2)

    def load() -> str:
        found = load_dataset(folder)
        parts = [found.observations, found.labels, found.actions, found.rewards, found.metadata]
        return digest_of([parts, found.success, found.seeds, found.lengths, found.action_bounds])

    return Specimen("data set", folder, load, True)


def _features(folder: Path, prior: FlowPrior, data: EpisodeDataset) -> Specimen:
    states = EpisodeDataset.from_arrays(
        {"state": data.observations["state"]}, data.actions, data.lengths
    )
    cache = FeatureCache(folder, prior)
    cache.make(states, progress=False)
    (folder / ".lock").unlink()

    def load() -> str:
        found = cache.find(states)
        return digest_of(None if found is None else np.array(found.observations["features"]))

    return Specimen("feature cache", folder, load, True)


def _fitting(folder: Path, prior: FlowPrior) -> Specimen:
    path = folder / "checkpoint.safetensors"
    state = {"settings": {"steps": 3}, "progress": {"step": 1, "history": [{"nll": 0.5}]}}
    write_training_checkpoint(path, prior.state_dict(), state)
    return Specimen(
        "prior training", folder, lambda: digest_of(read_training_checkpoint(path)), True
    )


def _run(folder: Path) -> list[Specimen]:
    config = toy_config(prior=None, total_steps=60, checkpoint_every=30, net_arch=(8,))
    train(config, folder, make_env=lambda *_: ReachEnv(), progress=False)
    [checkpoint] = list_checkpoints(folder / "checkpoints")
    model = build_model(config, wrap_env(ReachEnv(), config))
    model.learn(1)  # which makes the buffer and the counters that are restored

    def load() -> str:
        header = load_checkpoint(model, checkpoint)
        found = [model.policy.state_dict(), model.actor.optimizer.state_dict()["state"]]
        return digest_of([header, found, replay_arrays(model.replay_buffer)])

    checkpoint_of = Specimen("RL checkpoint", checkpoint, load, True)
    for stray in [folder / ".lock", folder / "model.zip", *folder.glob("tensorboard/*")]:
        stray.unlink()
    settings = folder.parent / "run settings"
    settings.mkdir()
    (folder / "config.json").rename(settings / "config.json")
    logs = folder.parent / "run logs"
    logs.mkdir()
    for name in ("log.jsonl", "episodes.jsonl"):
        (folder / name).rename(logs / name)
    return [
        checkpoint_of,
        Specimen(
            "run settings", settings, lambda: digest_of(read_config(settings).to_dict()), False
        ),
        Specimen("run logs", logs, lambda: _read_logs(logs), False),
    ]


def _read_logs(folder: Path) -> str:
    cut_log(folder / LOG_FILE, 10**9)
    return digest_of([read_log(folder / LOG_FILE), read_episodes(folder), steps_so_far(folder)])


def a_row(grid: Grid, seed: int) -> ResultRow:
    half = Share(0.5, 0.2, 0.8, 10)
    run = next(run for run in grid.runs() if run.rl_seed == seed)
    return ResultRow(
        grid.name, grid.setting, run.task, run.method.name, 0, seed, None, {}, {"python": "3"},
        {"cpu_count": 2}, 1.5, "2026-01-01T00:00:00+00:00", half, half, {"gamma": 0.9}, 1_000,
        ((500, 0.25), (1_000, 0.5)),
    )  # fmt: skip


def _results(root: Path) -> list[Specimen]:
    grid = Grid("mine", "quick", ("Toy-v0",), ("sac",), rl_seeds=(0, 1, 2))
    settings = {"grid": root / "grid", "rows": root / "rows", "row": root / "left row"}
    for folder in settings.values():
        folder.mkdir()
    path = settings["grid"] / "grid.json"
    path.write_text(json.dumps(grid.to_dict()))
    rows = [a_row(grid, seed) for seed in grid.rl_seeds]
    for row in rows:
        append_row(settings["rows"], row)
    (settings["row"] / ROW_FILE).write_text(json.dumps(rows[0].to_dict()))
    run = grid.runs()[0]

    def load_row() -> str:
        row = left_row(run, settings["row"])
        return digest_of(None if row is None else row.to_dict())

    return [
        Specimen("grid", settings["grid"], lambda: digest_of(read_grid(path).to_dict()), False),
        Specimen(
            "result rows",
            settings["rows"],
            lambda: digest_of([asdict(row) for row in read_rows(settings["rows"])]),
            False,
        ),
        Specimen("row of a run", settings["row"], load_row, False),
    ]


def _artifact(root: Path) -> Specimen:
    artifact = Artifact("bc-p0", "bc", {"steps": 3}, 5, data="datasets/x")
    begin(artifact, root)
    making_folder(artifact, root).rename(root / artifact.name)
    return Specimen(
        "recipe of a part", root / artifact.name, lambda: str(is_made(artifact, root)), False
    )
