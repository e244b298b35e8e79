"""Which shards of a collection are to be made, and when there are enough."""

from __future__ import annotations

import math
from itertools import count

from parrot_wrapper.data.shards import ShardInfo


class ShardPlan:
    """Which shards are done, and which is to be made next.

    Args:
        n_episodes: How many kept episodes the data set needs.
        shard_attempts: Attempts per shard.
        done: Shards that exist already, by index; grows.

    Example:
        >>> plan = ShardPlan(5, 4, {})
        >>> plan.next_shard(), plan.next_shard(), plan.next_shard()
        (0, 1, None)
        >>> plan.finish(ShardInfo(0, attempts=4, lengths=(25, 25), sha256=""))
        >>> plan.kept, plan.complete, plan.next_shard()
        (2, False, 2)
    """

    def __init__(self, n_episodes: int, shard_attempts: int, done: dict[int, ShardInfo]) -> None:
        self.n_episodes = n_episodes
        self._shard_attempts = shard_attempts
        self._done = done
        self._given_out: set[int] = set()

    def _needed(self) -> list[ShardInfo]:
        """Shards 0, 1, 2, ... without a gap, as many as the data set needs."""
        needed: list[ShardInfo] = []
        kept = 0
        while kept < self.n_episodes and len(needed) in self._done:
            needed.append(self._done[len(needed)])
            kept += needed[-1].n_episodes
        return needed

    @property
    def attempts(self) -> int:
        """Attempts in the shards that the data set needs."""
        return sum(info.attempts for info in self._needed())

    @property
    def kept(self) -> int:
        """Kept episodes in those shards."""
        return sum(info.n_episodes for info in self._needed())

    @property
    def complete(self) -> bool:
        """Whether shards 0, 1, 2, ... without a gap hold enough kept episodes."""
        return self.kept >= self.n_episodes

    def totals(self) -> tuple[int, int]:
        """Attempts and kept episodes of all shards that are done."""
        done = self._done.values()
        return sum(i.attempts for i in done), sum(i.n_episodes for i in done)

    def finish(self, info: ShardInfo) -> None:
        """Take note of a shard that is done."""
        self._done[info.index] = info
        self._given_out.discard(info.index)

    def next_shard(self) -> int | None:
        """The first shard that is neither done nor given out, if more seem to be needed."""
        index = 0
        attempts, successes = self.totals()
        expected = self._shard_attempts * (successes / attempts if attempts else 1.0)
        # shards are counted from the front: those beyond a gap do not make up for it
        total = 0.0
        while total < self.n_episodes or not self._given_out:
            if index in self._done:
                total += self._done[index].n_episodes
            elif index in self._given_out:
                total += expected
            else:
                self._given_out.add(index)
                return index
            index += 1
        return None


class PartPlan(ShardPlan):
    """The shards of one rank of several: r, r + n, r + 2n, ...

    It knows its own shards only, and takes the others to be like them. It makes so many more that
    the ranks together have enough, in all but one of a thousand cases.

    Args:
        n_episodes: How many kept episodes all ranks need together.
        shard_attempts: Attempts per shard.
        done: Its shards that exist already, by index; grows.
        rank: Which rank, from 0.
        world_size: How many there are.

    Example:
        >>> plan = PartPlan(100, 64, {}, rank=1, world_size=2)
        >>> plan.next_shard(), plan.next_shard()
        (1, None)
        >>> plan.finish(ShardInfo(1, attempts=64, lengths=(25,) * 40, sha256=""))
        >>> plan.complete, plan.next_shard(), plan.next_shard()
        (False, 3, None)
    """

    def __init__(
        self,
        n_episodes: int,
        shard_attempts: int,
        done: dict[int, ShardInfo],
        *,
        rank: int,
        world_size: int,
    ) -> None:
        super().__init__(-(-n_episodes // world_size), shard_attempts, done)
        self._all, self._rank, self._size = n_episodes, rank, world_size

    def _needed(self) -> list[ShardInfo]:
        return [self._done[index] for index in sorted(self._done)]

    @property
    def complete(self) -> bool:
        """Whether no shard of this rank is left to make."""
        return not self._given_out and self._next() is None

    def next_shard(self) -> int | None:
        """The first shard of this rank that is neither done nor given out, if it is needed."""
        index = self._next()
        if index is not None:
            self._given_out.add(index)
        return index

    def _next(self) -> int | None:
        wanted = self._wanted()
        for index in count(self._rank, self._size):
            if index >= wanted:
                return None
            if index not in self._done and index not in self._given_out:
                return index
        return None

    def _wanted(self) -> int:
        """How many shards all ranks have to make together."""
        attempts, kept = self.totals()
        if not attempts:  # at least one of its own, to know more
            return max(self._rank + 1, math.ceil(self._all / self._shard_attempts))
        share = (kept + 1) / (attempts + 2)
        doubt = 3.0 * math.sqrt(self._all * self._size * (1.0 - share))
        return math.ceil((self._all + doubt) / (share * self._shard_attempts))
