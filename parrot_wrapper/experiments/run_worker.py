"""What the processes of a grid do: a run and its result row, or a part that runs need."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from parrot_wrapper.checks import key_values
from parrot_wrapper.errors import require_known
from parrot_wrapper.evaluation.judge import measure_prior
from parrot_wrapper.evaluation.policies import UniformActions
from parrot_wrapper.evaluation.rollouts import EvaluationResult, Rate, evaluate
from parrot_wrapper.experiments.artifacts import (
    OWN_ENCODER,
    Artifact,
    artifact_folder,
    making_folder,
    place_of,
)
from parrot_wrapper.experiments.methods import Run, run_config
from parrot_wrapper.experiments.plan import ROW_FILE
from parrot_wrapper.experiments.rows import ResultRow, Share
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.priors.checkpoint import library_versions
from parrot_wrapper.priors.loading import load_prior
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.record.collect import ExpertSource, collect
from parrot_wrapper.registry import DEFAULT_PACKAGES, import_packages
from parrot_wrapper.rl.evaluation import evaluate_run
from parrot_wrapper.rl.logs import (
    STEP_KEY,
    STEPS_KEY,
    read_episodes,
    read_log,
    training_seconds,
)
from parrot_wrapper.rl.train import LOG_FILE, MODEL_FILE, train
from parrot_wrapper.surroundings import use_threads
from parrot_wrapper.training.prior_job import REPORT_FILE, PriorJob, train_prior
from parrot_wrapper.types import UNSAFE_KEY
from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper

_MORE_VERSIONS = ("stable-baselines3", "gymnasium", "pybullet")
_BIN_STEPS = 1_000
_FROM_GRID = ("data", "episodes", "out", "workers", "progress")
"""Options that the grid itself decides."""
_COLLECTED = {"env_id": "ParrotMultiTask-v0", "gym_packages": DEFAULT_PACKAGES}
"""Of `parrot collect`, where a grid leaves them out."""


def train_and_score(run: Run, folder: Path, artifacts: Mapping[str, str], device: str) -> None:
    """Do a run, or what is left of it, and write `row.json`.

    Args:
        run: The run.
        folder: Its folder.
        artifacts: Packaged name or folder of each learned part by kind.
        device: Torch device.
    """
    use_threads()
    import_packages(run.gym_packages)
    row = (
        _exploration_row(run, artifacts)
        if run.kind == "exploration"
        else _result_row(run, folder, artifacts, device)
    )
    write_json(folder / ROW_FILE, row.to_dict())


def make_artifact(
    artifact: Artifact, made: Mapping[str, Artifact], root: Path, cores: int, device: str
) -> None:
    """Make a data set or a learned part, or what is left of it."""
    given = {name.replace("-", "_"): value for name, value in artifact.options.items()}
    options = {name: value for name, value in given.items() if name not in _FROM_GRID}
    if artifact.kind == "data":
        engine = options.pop("engine", "local")
        collect(
            _source(options),
            n_episodes=artifact.episodes,
            folder=artifact_folder(artifact, root),
            workers=cores,
            engine=engine,
            progress=False,
        )
        return
    named = {f.name: options.pop(f.name) for f in fields(PriorJob) if f.name in options}
    own = {
        "data": place_of(artifact.data, made, root),
        "episodes": artifact.episodes,
        "out": making_folder(artifact, root),
    }
    if artifact.kind != "prior":
        own["kind"] = PRIORS.current(artifact.kind)
    if artifact.encoder != OWN_ENCODER:
        own["encoder_of"] = place_of(artifact.encoder, made, root)
    job = PriorJob(**{**named, **own})
    train_prior(job, {**options, "seed": artifact.seed, "device": device}, progress=False)


def _source(options: Mapping[str, Any]) -> ExpertSource:
    """Where episodes come from, by options of `parrot collect`."""
    names = {entry.name: entry.name for entry in fields(ExpertSource)}
    names["seed"] = names.pop("base_seed")
    require_known("option of a collection", options, names)
    given = {names[name]: value for name, value in {**_COLLECTED, **options}.items()}
    return ExpertSource(**{**given, "env_kwargs": key_values(given.get("env_kwargs", {}))})


def _result_row(run: Run, folder: Path, artifacts: Mapping[str, str], device: str) -> ResultRow:
    config = replace(run_config(run, artifacts), device=device)
    if not (folder / MODEL_FILE).is_file():  # the last thing that training writes
        train(config, folder, gym_packages=run.gym_packages, progress=False)
    result = evaluate_run(folder, episodes=run.evaluation_episodes)
    return ResultRow(
        **_facts(run, device),
        wall_seconds=training_seconds(folder),
        config=config.to_dict(),
        env_steps=run.env_steps,
        success=_share(result.success),
        success_once=_share(result.success_once),
        curve=tuple(success_curve(folder, env_steps=run.env_steps)),
        judged=_judged(run, artifacts) if run.judge_episodes else {},
        spent=_spent(folder, run.env_steps),
    )


def _spent(folder: Path, env_steps: int) -> dict[str, float | None]:
    """What training took, by its logs: nats in its last quarter, and unsafe events."""
    logged = [row for row in read_log(folder / LOG_FILE) if row[STEP_KEY] > 0.75 * env_steps]
    names = ("parrot/kl_to_prior", "parrot/kl_to_uniform")
    nats = [row[name] for row in logged for name in names if row.get(name) is not None]
    unsafe = [row[UNSAFE_KEY] for row in read_episodes(folder) if UNSAFE_KEY in row]
    return {
        "kl": sum(nats) / len(nats) if nats else None,
        "unsafe_per_1000": 1_000.0 * sum(unsafe) / env_steps if unsafe else None,
    }


def _judged(run: Run, artifacts: Mapping[str, str]) -> dict[str, float | None]:
    """What the run's prior is worth before RL, and what it cost."""
    part = artifacts.get(run.method.prior)
    if part is None:
        return {}
    env = gym.make(run.task, **run.env_kwargs)
    with closing(env):
        measured = measure_prior(
            load_prior(part),
            env,
            episodes=run.evaluation_episodes,
            expert_episodes=run.judge_episodes,
        )
    made = Path(part)
    reports = [path for path in (made / REPORT_FILE, made.parent / REPORT_FILE) if path.is_file()]
    minutes = [parse_json(path.read_bytes())["seconds"] / 60.0 for path in reports[:1]]
    return {**measured, "training_minutes": minutes[0] if minutes else None}


def success_curve(run_folder: Path, *, env_steps: int) -> list[tuple[int, float]]:
    """Success of training episodes in consecutive bins of 1,000 env steps.

    Args:
        run_folder: Folder of a run.
        env_steps: Env steps of the whole run; where the last bin ends.

    Returns:
        For each bin in which episodes end, its end and the share of them that ended successful.
    """
    bins: dict[int, list[bool]] = {}
    for episode in read_episodes(run_folder):
        end = -(-int(episode[STEPS_KEY]) // _BIN_STEPS) * _BIN_STEPS
        bins.setdefault(min(end, env_steps), []).append(bool(episode["success"]))
    return [(end, sum(won) / len(won)) for end, won in sorted(bins.items())]


def _exploration_row(run: Run, artifacts: Mapping[str, str]) -> ResultRow:
    started = time.perf_counter()
    result = _explore(run, artifacts)
    lifted, placed = result.share("lifted"), result.share("placed")
    return ResultRow(
        **_facts(run, "cpu"),
        wall_seconds=time.perf_counter() - started,
        lifted=None if lifted is None else _share(lifted),
        placed=None if placed is None else _share(placed),
        success_once=_share(result.success_once),
    )


def _explore(run: Run, artifacts: Mapping[str, str]) -> EvaluationResult:
    """Held-out episodes of uniform actions, which behind a wrapper are samples of its prior."""
    env = gym.make(run.task, **run.env_kwargs)
    for part in run.method.explored:
        env = BehavioralPriorWrapper(env, artifacts[part])
    try:
        policy = UniformActions(env)
        return evaluate(policy, env, episodes=run.evaluation_episodes, on_reset=policy.begin)
    finally:
        env.close()


def _facts(run: Run, device: str) -> dict[str, Any]:
    machine: dict[str, Any] = {
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "processor": platform.machine(),
    }
    if device != "cpu" and torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "grid": run.grid,
        "setting": run.setting,
        "task": run.task,
        "method": run.method.name,
        "prior_seed": run.prior_seed,
        "rl_seed": run.rl_seed,
        "data_episodes": run.data_episodes,
        "labels": dict(run.labels),
        "versions": library_versions(_MORE_VERSIONS),
        "machine": machine,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _share(rate: Rate) -> Share:
    return Share(**rate.to_dict())  # type: ignore[arg-type]
