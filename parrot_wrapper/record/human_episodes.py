"""Demonstrations by a person: episode by episode, kept, thrown away or taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from parrot_wrapper.checks import as_path, require_count
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.shards import shard_path, write_shard
from parrot_wrapper.data.storage import Manifest, load_dataset, write_manifest
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.record.policy_episodes import (
    Env,
    bounded_box,
    noisy,
    read_parts,
    reading_facts,
    recording_settings,
)
from parrot_wrapper.types import AnyArray, ImageArray, told_success
from parrot_wrapper.wrappers.chunk import one_reward
from parrot_wrapper.wrappers.reader import KeyOptions, reader_of_space

KEEP, DISCARD, UNDO, QUIT = "keep", "discard", "undo", "quit"


class Wish(NamedTuple):
    """What a person wants at one moment.

    Attributes:
        action: (A,) in -1 ... 1, from the lower to the upper edge of the env's box.
        moves: Whether anything is held; without, no step is made.
        command: One of `KEEP`, `DISCARD`, `UNDO` and `QUIT`; "" for none.
    """

    action: AnyArray
    moves: bool
    command: str = ""


class Controls(Protocol):
    """A window with keys, or a stand-in."""

    def show(self, frame: ImageArray | None, text: str) -> None:
        """Show a picture (H, W, 3) and a line of text."""

    def read(self) -> Wish:
        """Wait for a moment, and say what is wanted."""


def record_human(
    env: Env,
    folder: str | Path,
    controls: Controls,
    *,
    picture: Callable[[Env, Any], ImageArray | None],
    episodes: int = 0,
    noise: float = 0.1,
    seed: int = 0,
    waits: bool = True,
    keys: KeyOptions | None = None,
) -> int:
    """Record until a person has had enough; each episode is on disk once it is kept.

    An episode ends with the env's, or where it is kept or thrown away before. A folder that was
    begun is gone on with.

    Args:
        env: Any env with a bounded Box action space.
        folder: The data set.
        controls: Where wishes come from.
        picture: What to show of the env and its observation.
        episodes: How many the data set shall have in the end; 0 for no limit.
        noise: Standard deviation of Gaussian noise on the actions, in half-widths of the box: those
            of keys are all alike, and a prior of such is narrow.
        seed: Attempt k is reset with `seed + k`.
        waits: Make steps only while something is held, so that nobody demonstrates to hesitate.
        keys: Where a Dict observation has what a prior is to look at; see `KeyOptions`.

    Returns:
        How many episodes the data set has.

    Raises:
        SpaceMismatchError: The observations are not what a prior can look at.
        InvalidArgumentError: The action space is no bounded Box, or a number is out of range.
        DataFileError: The folder holds a data set of other settings, or a damaged one.
    """
    require_count("episodes", episodes, least=0)
    box, given = bounded_box(env), keys or {}
    reader = reader_of_space(
        env.observation_space,
        image=given.get("image_key"),
        proprio=given.get("proprio_key"),
        state=given.get("state_key"),
    )
    edges = {"low": box.low.tolist(), "high": box.high.tolist()}
    facts = {"spaces": {"action": edges}, **reading_facts(reader)}
    kept = _Kept(as_path("folder", folder), recording_settings(env, noise, seed), facts)
    attempt = kept.attempts(seed)
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)

    def played(seed: int) -> tuple[Episode | None, str]:
        """One attempt, and the command that ended it."""
        rng = np.random.default_rng([seed, 1])
        observation, info = env.reset(seed=seed)
        seen, over = [read_parts(reader, observation)], False
        actions: list[AnyArray] = []
        rewards: list[float] = []
        while True:
            told = f"{kept.count} kept. " + ("Over: keep or discard?" if over else "Recording.")
            success = " The task is done." if told_success(info) else ""
            controls.show(picture(env, observation), told + success)
            wish = controls.read()
            if wish.command == UNDO:
                kept.undo()
            elif wish.command:
                episode = _episode(seen, actions, rewards, seed) if actions else None
                return episode, wish.command
            elif not over and (wish.moves or not waits):
                action = low + (np.asarray(wish.action, np.float64) + 1.0) / 2.0 * (high - low)
                actions.append(noisy(action, box, noise, rng))
                observation, reward, terminated, truncated, info = env.step(actions[-1].copy())
                seen.append(read_parts(reader, observation))
                rewards.append(one_reward(reward))
                over = terminated or truncated

    command = ""
    while command != QUIT and not 0 < episodes <= kept.count:
        episode, command = played(seed + attempt)
        attempt += 1
        if command == KEEP and episode is not None:
            kept.add(episode)
    return kept.count


def _episode(
    seen: list[dict[str, AnyArray]], actions: list[AnyArray], rewards: list[float], seed: int
) -> Episode:
    rows = {part: np.concatenate([row[part] for row in seen]) for part in seen[0]}
    return Episode(rows, np.stack(actions).astype(np.float32), np.array(rewards), True, seed)


class _Kept:
    """A data set that grows and shrinks at its end: a shard for each episode."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self._folder, self._facts = folder, dict(facts)
        self._settings = json.loads(json.dumps(settings))  # as it comes back from a file
        self._before: EpisodeDataset | None = None
        if (folder / "dataset.json").exists():
            self._before = load_dataset(folder, actions_only=True)
            there = self._before.metadata.get("settings")
            last = shard_path(folder, self._before.n_episodes - 1)
            if there != self._settings or not last.exists():
                raise DataFileError(
                    f"{folder}: expected demonstrations of a person recorded with "
                    f"{self._settings}, found {there}. Choose another folder."
                )
        self.count = 0 if self._before is None else self._before.n_episodes

    def attempts(self, seed: int) -> int:
        """How many attempts there were before, so that none begins as an earlier one did."""
        return 0 if self._before is None else int(self._before.seeds.max()) - seed + 1

    def add(self, episode: Episode) -> None:
        write_shard(self._folder, self.count, [episode], attempts=1)
        self._set(self.count + 1)

    def undo(self) -> None:
        """Take back the last one, if there is any."""
        if not self.count:
            return
        self._set(self.count - 1)
        path = shard_path(self._folder, self.count)
        path.with_suffix(".json").unlink()
        path.unlink()

    def _set(self, count: int) -> None:
        self.count = count
        if count:
            write_manifest(self._folder, Manifest(count, self._settings, self._facts))
        else:
            (self._folder / "dataset.json").unlink()
