"""Collect demonstrations of scripted experts in parallel; a killed collection goes on later."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from tqdm import tqdm

from parrot_wrapper import __version__
from parrot_wrapper.checks import as_path, differences, require_count, require_instance
from parrot_wrapper.data.episodes import observation_mapping
from parrot_wrapper.data.gathering import part_folder, require_rank
from parrot_wrapper.data.shards import ShardInfo, has_shard, read_info, shard_path, verify_shard
from parrot_wrapper.data.storage import Manifest, read_manifest, write_manifest
from parrot_wrapper.errors import (
    DataError,
    DataFileError,
    InvalidArgumentError,
    ProcessDiedError,
)
from parrot_wrapper.io.atomic_files import clear_strays, room_below
from parrot_wrapper.io.executors import Ended, Executor, Task, engine_maker, stopping
from parrot_wrapper.io.interruption import deferred_interrupt
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.record.expert_episodes import ExpertSource, record_episode, work_on_shard
from parrot_wrapper.record.needed_shards import PartPlan, ShardPlan
from parrot_wrapper.registry import installed_versions
from parrot_wrapper.types import OffersCamera, OffersLabels

__all__ = ["CollectionReport", "ExpertSource", "collect", "record_episode"]

_HOPELESS_ATTEMPTS = 1000
_LOOK_EVERY = 0.5
"""Seconds between two looks at whether the user wants to stop."""
_VERSIONED = ("gymnasium", "pybullet", "numpy", "h5py")


@dataclass(frozen=True)
class CollectionReport:
    """What a finished collection holds.

    Attributes:
        folder: Where it is.
        n_episodes: Episodes of the data set.
        attempts: Attempts in the shards that the data set needs.
        kept: Kept episodes in those shards, at least `n_episodes`.
    """

    folder: Path
    n_episodes: int
    attempts: int
    kept: int

    @property
    def keep_rate(self) -> float:
        """Share of the attempts that were kept, in [0, 1]."""
        return self.kept / self.attempts


def collect(
    source: ExpertSource,
    *,
    n_episodes: int,
    folder: str | Path,
    workers: int = 2,
    engine: str = "local",
    address: str = "",
    rank: int = 0,
    world_size: int = 1,
    progress: bool = True,
) -> CollectionReport:
    """Collect `n_episodes` kept episodes; go on where an earlier call in `folder` was stopped.

    The data set depends on `source` alone: a shard is a fixed range of attempt seeds, and the
    data set is the kept episodes of shards 0, 1, 2, ... cut at `n_episodes`. The number of
    workers, their order and kills do not matter. `n_episodes` may be raised or lowered later.
    Ctrl-C finishes the shards in flight; a killed process loses them, at most one per worker.

    Args:
        source: Env, expert noise and seeds.
        n_episodes: How many to keep, >= 1.
        folder: The data set's folder; made where it does not exist.
        workers: Shards at a time, >= 1.
        engine: What records them: "local" for processes of this machine, "ray", "slurm", or an
            installed package's by name. Local processes import the script that calls this, which
            therefore needs `if __name__ == "__main__":`.
        address: Of the engine's cluster; empty for its own choice.
        rank: Which of `world_size` calls this is, from 0; each makes its part of the shards in a
            folder of its own below `folder`, and `gather` puts them together.
        world_size: How many calls share the work; 1 for this one alone.
        progress: Show a progress bar.

    Raises:
        InvalidArgumentError: A number is out of range, or the env has no expert.
        UnknownNameError: No such engine; the nearest is named.
        ClusterError: The cluster cannot be reached, or a machine of it lacks something.
        DataFileError: `folder` holds a data set with other settings, is being written to, or
            one of its files is altered or foreign.
        DataError: The expert never ends in an episode to keep.
        WriteError: The disk is full, or the folder cannot be written to; with room, the same call
            goes on.
    """
    require_instance("source", source, ExpertSource, "an ExpertSource")
    require_count("n_episodes", n_episodes)
    require_count("workers", workers)
    require_count("world_size", world_size)
    require_rank(rank, world_size)
    root = as_path("folder", folder)
    if world_size > 1:
        root = part_folder(root, rank, world_size)
    make_engine = engine_maker(engine, address)
    settings, facts = _describe(source)
    with room_below(root), folder_lock(root):
        facts = _agree_with_existing(root, settings, facts)
        clear_strays(root)
        manifest = Manifest(n_episodes, settings, facts)
        write_manifest(root, manifest)
        wanted = (n_episodes, source.shard_attempts, _existing_shards(root))
        plan = ShardPlan(*wanted)
        if world_size > 1:
            plan = PartPlan(*wanted, rank=rank, world_size=world_size)
        if not plan.complete:
            _run(plan, source, root, workers, make_engine(), progress)
        counts = {"attempts": plan.attempts, "kept": plan.kept}
        write_manifest(root, replace(manifest, facts={**facts, "counts": counts}))
    return CollectionReport(root, n_episodes, plan.attempts, plan.kept)


def _describe(source: ExpertSource) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings (what the episodes depend on) and facts (what describes them) of a collection."""
    env = source.make_env()
    try:
        observation, _ = env.reset(seed=source.base_seed)
        action_space = env.action_space
        if not isinstance(action_space, spaces.Box):
            raise InvalidArgumentError(f"Expected a Box action space, got {action_space}.")
        unwrapped = env.unwrapped
        labels = unwrapped.privileged_labels() if isinstance(unwrapped, OffersLabels) else {}
        settings = {
            "env_id": source.env_id,
            "env_kwargs": dict(source.env_kwargs),
            "camera": unwrapped.camera_spec() if isinstance(unwrapped, OffersCamera) else None,
            "noise": source.noise,
            "stray_steps": source.stray_steps,
            "base_seed": source.base_seed,
            "shard_attempts": source.shard_attempts,
        }
        facts = {
            "spaces": {
                "observation": _shapes(observation_mapping(observation)),
                "action": {"low": action_space.low.tolist(), "high": action_space.high.tolist()},
            },
            "labels": _shapes(labels),
            "max_episode_steps": None if env.spec is None else env.spec.max_episode_steps,
            "gym_packages": list(source.gym_packages),
            "versions": {"parrot-wrapper": __version__, **installed_versions(_VERSIONED)},
        }
        # as it will be read again: tuples become lists
        return json.loads(json.dumps(settings)), json.loads(json.dumps(facts))
    except TypeError as error:
        raise InvalidArgumentError(f"Expected JSON-able env_kwargs and camera: {error}.") from error
    finally:
        env.close()


def _shapes(parts: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, dict[str, Any]]:
    return {k: {"shape": list(v.shape), "dtype": str(v.dtype)} for k, v in parts.items()}


def _agree_with_existing(
    folder: Path, settings: Mapping[str, Any], facts: dict[str, Any]
) -> dict[str, Any]:
    """Refuse to mix settings in one folder; return the facts to keep there."""
    if not (folder / "dataset.json").exists():
        if has_shard(folder, 0):
            raise DataFileError(f"{folder}: has shards but no dataset.json. Delete the folder.")
        return facts
    existing = read_manifest(folder)
    if differing := differences(existing.settings, settings):
        raise DataFileError(
            f"{folder}: expected the settings that its episodes were collected with, got other "
            f"ones ({differing}). Choose another folder, or the same settings."
        )
    before = existing.facts.get("versions")
    if before != facts["versions"]:
        warnings.warn(
            f"{folder} was begun with {before}, now installed: {facts['versions']}; new episodes "
            "may differ from the old ones.",
            UserWarning,
            stacklevel=3,
        )
    return {key: value for key, value in existing.facts.items() if key != "counts"}


def _existing_shards(folder: Path) -> dict[int, ShardInfo]:
    """Whole shards on disk, with gaps where a kill hit one that others had overtaken."""
    names = (path.stem.removeprefix("shard-") for path in folder.glob("shard-*.json"))
    infos = {int(name): read_info(folder, int(name)) for name in names if name.isdecimal()}
    for info in infos.values():
        verify_shard(folder, info)
    return infos


def _run(
    plan: ShardPlan,
    source: ExpertSource,
    folder: Path,
    workers: int,
    engine: Executor,
    progress: bool,
) -> None:
    running: set[Task] = set()
    with deferred_interrupt() as interruption, _bar(plan, progress) as bar, closing(engine):
        while not plan.complete and not interruption.requested:
            while len(running) < workers and (index := plan.next_shard()) is not None:
                task = _task(source, folder, index)
                running.add(task)
                engine.submit(task)
            for ended in engine.poll(_LOOK_EVERY):
                running.discard(ended.task)
                plan.finish(_result(ended))
            _tell(plan, source, bar)
        for ended in stopping(engine, running):  # shards in flight are finished first
            running.discard(ended.task)
    if not plan.complete:
        raise KeyboardInterrupt


def _task(source: ExpertSource, folder: Path, index: int) -> Task:
    path = shard_path(folder, index)
    made = (path, path.with_suffix(".json"))  # in this order: the sidecar makes the shard count
    return Task(f"shard {index}", work_on_shard, (source, folder, index), writes=made)


def _result(ended: Ended) -> ShardInfo:
    try:
        info: ShardInfo = ended.result()
    except ProcessDiedError as error:
        raise DataError(
            f"A worker process died ({error}). If its own message above speaks of bootstrapping, "
            'put the call under `if __name__ == "__main__":`; otherwise it may have been killed '
            "for memory: use fewer workers. Whole shards are kept; the same call goes on."
        ) from error
    return info


def _tell(plan: ShardPlan, source: ExpertSource, bar: tqdm[Any]) -> None:
    attempts, kept = plan.totals()
    if not attempts:
        return
    bar.set_postfix_str(f"{kept / attempts:.1%} of attempts kept", refresh=False)
    bar.update(min(kept, plan.n_episodes) - bar.n)
    if not kept and attempts >= _HOPELESS_ATTEMPTS:
        raise DataError(
            f"Expected episodes to keep, got none in {attempts} attempts in {source.env_id}. "
            f"Watch the expert, or lower the noise ({source.noise})."
        )


def _bar(plan: ShardPlan, progress: bool) -> tqdm[Any]:
    done = min(plan.totals()[1], plan.n_episodes)
    return tqdm(
        total=plan.n_episodes, initial=done, unit=" kept", desc="collect", disable=not progress
    )
