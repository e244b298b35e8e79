"""A data set that is larger than memory: a window of its shards moves over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any

import numpy as np

from parrot_wrapper.checks import require_count
from parrot_wrapper.data.dataset import EpisodeDataset, IntArray
from parrot_wrapper.data.shards import ShardInfo
from parrot_wrapper.data.storage import Manifest, needed_shards, read_shards
from parrot_wrapper.errors import DataError
from parrot_wrapper.io.remote import Place, as_place
from parrot_wrapper.types import SEES_FACT, HasMetadata

AHEAD = 2
"""Shards that are read before they are needed."""
_LATE = 2
"""Those that are kept for batches that are still being made."""

Change = Callable[[EpisodeDataset], EpisodeDataset]


@dataclass(frozen=True, eq=False)
class ShardStream:
    """Episodes of which a window of shards is in memory, in an order that is drawn anew each pass.

    `fit_prior` takes one in place of an `EpisodeDataset`; `parrot train-prior --shards` makes one.
    Batches are drawn from all episodes in the window, which moves on by a shard when the shard's
    steps would have been drawn once. They depend on step and seed alone, so that training goes on
    the same after a kill. Shards are read ahead, in a thread.

    In memory are at most `2 * window + 4` shards, unpacked: the window, those that come and go, and
    a sample of `window` shards, from which what is to be known of the data at the start is taken.

    Attributes:
        folder: Where `parrot collect` or `save_dataset` wrote it, or a URL of a copy that fsspec
            knows, such as "s3://bucket/data".
        window: Shards in it, two or more. A shard of `parrot collect` has 11 MB: 64 episodes of 25
            steps with images of 48 x 48.
        n_episodes: Only the first so many; 0 for all. Afterwards how many there are.

    Raises:
        DataFileError: A file is missing, truncated, altered, foreign or of a newer format, or the
            storage cannot be read.
        InvalidArgumentError: `window` is below 2, or `n_episodes` outside what the data set has.

    Example:
        >>> import tempfile
        >>> from parrot_wrapper.data import save_dataset
        >>> data = EpisodeDataset.from_arrays(np.eye(8), np.eye(4), [1, 1, 1, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_dataset(data, folder, episodes_per_shard=1)
        ...     stream = ShardStream(folder, window=2)
        ...     stream, len(stream.sample.lengths)
        (ShardStream(episodes=4, steps=4, shards=4, window=2), 2)
    """

    folder: str | Place
    window: int = 32
    n_episodes: int = 0
    _changes: tuple[Change, ...] = ()
    _actions_only: bool = False
    _chosen: tuple[int, ...] = ()
    _known: tuple[Manifest, list[ShardInfo]] = field(default=(Manifest(1), []))

    def __post_init__(self) -> None:
        require_count("window", self.window, 2)
        if not self._chosen:
            place = as_place("folder", self.folder)
            manifest, infos = needed_shards(place, self.n_episodes or None)
            told: dict[str, Any] = {"folder": place, "n_episodes": manifest.n_episodes}
            told["_chosen"] = tuple(info.index for info in infos if info.n_episodes)
            for name, value in {**told, "_known": (manifest, infos)}.items():
                object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Sizes."""
        return (
            f"ShardStream(episodes={self.n_episodes}, steps={self.n_steps}, "
            f"shards={len(self._chosen)}, window={self.window})"
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """The shards that have episodes, by their numbers."""
        return self._chosen

    @property
    def n_steps(self) -> int:
        """The number of actions in all episodes together."""
        return sum(sum(self._lengths(index)) for index in self._chosen)

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 of the files and of how many episodes are used; not that of a data set."""
        told = [f"{self._known[1][i].sha256} {len(self._lengths(i))}" for i in self._chosen]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    @property
    def metadata(self) -> dict[str, Any]:
        """Those of the data set."""
        return self.sample.metadata

    @cached_property
    def sample(self) -> EpisodeDataset:
        """A `window` of shards, spread over all of them, as one data set in memory."""
        rows = np.linspace(0, len(self._chosen) - 1, min(self.window, len(self._chosen)))
        return self._joined([self._chosen[row] for row in rows.astype(int)])

    def mapped(self, change: Change) -> ShardStream:
        """The same with each shard changed when it is read."""
        return replace(self, _changes=(*self._changes, change))

    def completed_by(self, change: Change) -> ShardStream:
        """The same with what `change` makes of each shard's actions; its observations stay unread.

        Earlier changes do not count.
        """
        return replace(self, _changes=(change,), _actions_only=True)

    def seen_by(self, prior: HasMetadata) -> ShardStream:
        """As a prior sees it; see `EpisodeDataset.seen_by`."""
        if prior.metadata.get(SEES_FACT) is None:
            return self
        seen = self.mapped(lambda shard: shard.seen_by(prior))
        vars(seen)["sample"] = self.sample.seen_by(prior)  # it shares the images
        return seen

    def split(
        self, fraction: float, rng: np.random.Generator
    ) -> tuple[ShardStream, EpisodeDataset]:
        """The rest, and the share `fraction` of shards held out, half a window at most.

        Raises:
            DataError: There is one shard alone.
        """
        count = len(self._chosen)
        if count < 2:
            raise DataError(
                f"{self.folder}: expected two or more shards with episodes, one to learn from and "
                "one to hold out, got one. Load it into memory with `load_dataset`."
            )
        held = max(1, min(round(fraction * count), count - 1, self.window // 2))
        order = np.asarray(self._chosen)[rng.permutation(count)]
        rest = tuple(sorted(map(int, order[held:])))
        return replace(self, _chosen=rest), self._joined(sorted(map(int, order[:held])))

    def read(self, index: int, *, actions_only: bool = False) -> EpisodeDataset:
        """One shard, unchanged."""
        manifest, infos = self._known
        assert not isinstance(self.folder, str)
        some, count = [infos[index]], len(self._lengths(index))
        return read_shards(self.folder, manifest, some, count, actions_only=actions_only)

    def changed(self, index: int) -> EpisodeDataset:
        """One shard with all changes."""
        shard = self.read(index, actions_only=self._actions_only)
        for change in self._changes:
            shard = change(shard)
        return shard

    def windows(self, seed: int, rows: int) -> Windows:
        """The windows of a training.

        Args:
            seed: Of the order.
            rows: How many are drawn at each step.
        """
        hold = max(1, round(self.n_steps / len(self._chosen) / rows))
        return Windows(self.changed, self._chosen, self.window, hold, seed)

    def _joined(self, indices: Sequence[int]) -> EpisodeDataset:
        return _joined([self.changed(index) for index in indices])

    def _lengths(self, index: int) -> tuple[int, ...]:
        """Of the episodes that are used; the last shard may have more."""
        manifest, infos = self._known
        last = index == infos[-1].index
        before = sum(info.n_episodes for info in infos[:-1]) if last else 0
        return infos[index].lengths[: manifest.n_episodes - before if last else None]


def _joined(parts: Sequence[EpisodeDataset]) -> EpisodeDataset:
    """Data sets one behind the other."""

    def all_of(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    def by_name(name: str) -> dict[str, Any]:
        dicts = [getattr(part, name) for part in parts]
        return {key: np.concatenate([found[key] for found in dicts]) for key in dicts[0]}

    observations, labels = by_name("observations"), by_name("labels")
    rows = [len(next(iter(part.observations.values()), ())) for part in parts]
    shifts = np.repeat(np.cumsum(rows) - rows, [part.n_episodes for part in parts])
    whole = ("actions", "rewards", "success", "seeds", "lengths", "digests")
    return EpisodeDataset(
        observations=observations,
        labels=labels,
        obs_offsets=all_of("obs_offsets") + shifts,
        metadata=parts[0].metadata,
        **{name: all_of(name) for name in whole},
    )


class Windows:
    """The window of each step.

    Args:
        read: A shard by its number; called in a thread.
        shards: Their numbers.
        size: Shards of a window.
        hold: Steps until it moves on.
        seed: Of the order.
    """

    def __init__(
        self,
        read: Callable[[int], EpisodeDataset],
        shards: Sequence[int],
        size: int,
        hold: int,
        seed: int,
    ) -> None:
        self._read, self._shards, self._seed = read, shards, seed
        self._size, self._hold = min(size, len(shards)), hold
        self._order = lru_cache(2)(self._drawn)
        self._there: dict[int, Future[EpisodeDataset]] = {}
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shards")

    def at(self, step: int) -> list[EpisodeDataset]:
        """The shards of a step; those of later ones are read meanwhile."""
        first = step // self._hold
        wanted = [self._at(first + place) for place in range(-_LATE, self._size + AHEAD)]
        with self._lock:
            for index in wanted[_LATE:]:
                if index not in self._there:
                    self._there[index] = self._pool.submit(self._read, index)
            self._there = {i: found for i, found in self._there.items() if i in wanted}
            window = [self._there[index] for index in wanted[_LATE : _LATE + self._size]]
        return [found.result() for found in window]

    def close(self) -> None:
        """Read nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _at(self, place: int) -> int:
        """The shard at a place of the endless order."""
        count = len(self._shards)
        if self._size == count:
            return self._shards[place % count]  # all of them are there
        epoch, within = divmod(max(place, 0), count)
        return self._shards[int(self._order(epoch)[within])]

    def _drawn(self, epoch: int) -> IntArray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._shards))
