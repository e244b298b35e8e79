"""A data set in a page of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.types import REWARDS_FACT

_MANY_ON_EDGE = 0.5


def dataset_lines(dataset: EpisodeDataset, folder: Path) -> Iterable[str]:
    """Size, observations, actions and what is odd about them, line by line."""
    stored = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    parts = [*dataset.observations.values(), *dataset.labels.values(), dataset.actions]
    memory = sum(part.nbytes for part in parts)
    shortest, middle, longest = np.percentile(dataset.lengths, [0, 50, 100])
    yield f"data set {folder}"
    yield (
        f"  {dataset.n_episodes} episodes, {dataset.n_steps} steps; {shortest:.0f} to "
        f"{longest:.0f} in an episode, half of them up to {middle:.0f}"
    )
    yield f"  {_size(stored)} on disk, {_size(memory)} in memory"
    yield f"  successes: {dataset.success.mean():.1%}"
    yield f"  rewards: {_rewards(dataset)}"
    for name, part in dataset.observations.items():
        yield f"  {name}: {part.shape[1:]} {part.dtype}"
    if dataset.labels:
        yield f"  labels: {', '.join(dataset.labels)}"
    yield from _action_lines(dataset)


def _rewards(dataset: EpisodeDataset) -> str:
    if not dataset.metadata.get(REWARDS_FACT, True):
        return "unknown; the data have none"
    if not dataset.rewards.any():  # folders of earlier versions do not say which of the two it is
        return "0 on every step, or unknown"
    returns = np.add.reduceat(dataset.rewards, dataset.step_offsets)
    return f"{returns.mean():.3g} in an episode on average, {returns.max():.3g} at most"


def _action_lines(dataset: EpisodeDataset) -> Iterator[str]:
    low, high = dataset.action_bounds
    told = dataset.action_statistics()
    least, most = dataset.actions.min(0), dataset.actions.max(0)
    yield "  action      box                 mean       std       min       max   on edge"
    for index in range(dataset.action_dim):
        yield (
            f"  {index:>6} {low[index]:>8.3g} ... {high[index]:<8.3g}{told.mean[index]:>9.3g} "
            f"{told.std[index]:>9.3g} {least[index]:>9.3g} {most[index]:>9.3g} "
            f"{told.clip_fraction[index]:>9.1%}"
        )
    still = np.flatnonzero(least == most)
    if len(still):
        yield f"  dimensions that never change: {', '.join(map(str, still))}"
    outside = np.flatnonzero((least < low) | (most > high))
    if len(outside):
        yield f"  dimensions that leave the box: {', '.join(map(str, outside))}"
    crowded = np.flatnonzero(told.clip_fraction > _MANY_ON_EDGE)
    if len(crowded):
        yield (
            f"  dimensions mostly on the box's edge: {', '.join(map(str, crowded))}; a flow fits "
            "such jumps badly, noise on the actions helps"
        )


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
