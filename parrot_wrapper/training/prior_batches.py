"""Batches for prior training: drawn by step number, prepared ahead in threads, always in order."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.streaming import Windows
from parrot_wrapper.errors import DataError, UnreadDataWarning, UntaughtWarning, unknown_name
from parrot_wrapper.priors.trainable import Trainable
from parrot_wrapper.types import SEES_FACT, AnyArray, FloatArray, ObservationSpec

BATCHES = ("pairs", "windows", "episodes", "sequences")
"""What a batch may hold; see `Trainable`."""
OBSERVES = ("first", "all")
"""Of which of its steps a window may have observations; see `Trainable`."""
_EDGE = 1e-6
_OF_EPISODES = ("actions", "rewards", "success", "seeds", "lengths", "obs_offsets", "digests")
_COMPARED = 64
"""Images that are compared; they are spread over all episodes."""
MakeBatch: TypeAlias = Callable[..., dict[str, Tensor]]
"""From a generator, and a step where it matters, to a batch."""
_AHEAD = 3
"""Batches that wait ready for each loader thread."""


def spread_edges(
    action: FloatArray, low: FloatArray, high: FloatArray, *, scale: float, rng: np.random.Generator
) -> FloatArray:
    """Undo the clipping of noisy actions: move those on an edge of the box outwards at random.

    Args:
        action: (B, ..., A) within the box.
        low: (A,) lower edge.
        high: (A,) upper edge.
        scale: Standard deviation of the normal whose absolute value is added, in half-widths
            of the box.
        rng: Source of the noise; draws the same amount whatever the actions are.

    Returns:
        The same float32; interior actions are unchanged.
    """
    half = high / 2 - low / 2  # halved first: the box may be as wide as float32 reaches
    outwards = np.abs(rng.standard_normal(action.shape, dtype=np.float32))
    outwards *= np.float32(scale) * half
    spread = np.where(action >= high - _EDGE * half, action + outwards, action)
    result: FloatArray = np.where(action <= low + _EDGE * half, action - outwards, spread)
    return result.astype(np.float32)


def long_enough(dataset: EpisodeDataset, prior: Trainable, *, least: int = 2) -> EpisodeDataset:
    """The episodes of at least the prior's horizon.

    Shorter ones are dropped and not padded: they began where the arm had gone astray, or were cut,
    and what was done there is no beginning of an episode.
    """
    if prior.batches not in BATCHES:
        raise unknown_name("kind of batches", str(prior.batches), BATCHES)
    if prior.observes not in OBSERVES:
        raise unknown_name("choice of observed steps", str(prior.observes), OBSERVES)
    needed = 1 if prior.batches in ("pairs", "sequences") else prior.horizon
    chosen = np.flatnonzero(dataset.lengths >= needed)
    if len(chosen) < least:
        raise DataError(
            f"Expected two or more episodes of at least {needed} steps, one to hold out, got "
            f"{len(chosen)}; the longest has {dataset.lengths.max(initial=0)}."
        )
    if not len(chosen):
        return replace(dataset, **{name: getattr(dataset, name)[:0] for name in _OF_EPISODES})
    return dataset if len(chosen) == dataset.n_episodes else dataset.subset(chosen)


def batch_maker(
    dataset: EpisodeDataset | Windows,
    prior: Trainable,
    *,
    batch_size: int,
    edge_spread: float,
) -> MakeBatch:
    """A function from a generator and a step to a batch of CPU tensors as `prior.batches` says.

    Args:
        dataset: Of episodes that are long enough; or the windows of a `ShardStream` of such.
        prior: Says what it reads.
        batch_size: Rows.
        edge_spread: See `PriorTrainingConfig`.
    """
    if isinstance(dataset, EpisodeDataset):
        check_source(dataset, prior)
    low, high = prior.action_bounds

    def make(rng: np.random.Generator, step: int = 0) -> dict[str, Tensor]:
        parts = dataset.at(step) if isinstance(dataset, Windows) else [dataset]
        batch = _drawn(parts, prior, batch_size, rng)
        batch["action"] = spread_edges(batch["action"], low, high, scale=edge_spread, rng=rng)
        return {key: _tensor(value) for key, value in batch.items()}

    return make


def _drawn(
    parts: Sequence[EpisodeDataset], prior: Trainable, rows: int, rng: np.random.Generator
) -> dict[str, AnyArray]:
    """Rows as if the data sets were one."""
    if len(parts) == 1:
        return _rows(parts[0], prior, rows, rng)
    episodes = np.array([part.n_episodes for part in parts])
    pairs = rng.multinomial(rows // 2, episodes / episodes.sum())
    found = [_rows(part, prior, 2 * int(n), rng) for part, n in zip(parts, pairs, strict=True) if n]
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


def _rows(
    dataset: EpisodeDataset, prior: Trainable, rows: int, rng: np.random.Generator
) -> dict[str, AnyArray]:
    if prior.batches == "pairs":
        return dataset.sample_pairs(rows, rng)
    if prior.batches == "episodes":
        episodes, first = rng.integers(dataset.n_episodes, size=rows), np.zeros(rows, np.int64)
    else:
        episodes = rng.integers(dataset.n_episodes, size=rows // 2).repeat(2)
        first = rng.integers(np.maximum(dataset.lengths[episodes] - prior.window, 0) + 1)
    steps, lasts = first[:, None] + np.arange(prior.window), dataset.lengths[episodes, None] - 1
    real, steps = steps <= lasts, np.minimum(steps, lasts)
    batch: dict[str, AnyArray] = {}
    if prior.looks and prior.observes == "all":
        every = dataset.gather(episodes.repeat(prior.window), steps.ravel())
        batch = {name: part.reshape(*steps.shape, *part.shape[1:]) for name, part in every.items()}
    elif prior.looks:
        batch = dataset.gather(episodes, first)
    batch["action"] = dataset.actions[dataset.step_offsets[episodes][:, None] + steps]
    if prior.batches == "sequences":
        batch["valid"] = real
    return batch


def _tensor(value: AnyArray) -> Tensor:
    if value.dtype in (np.float64, np.float16):
        value = value.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(value))


def check_source(dataset: EpisodeDataset, prior: Trainable) -> None:
    """Compare data with a prior."""
    found = {key: part.shape[1:] for key, part in dataset.observations.items()}
    shapes = {**found, "action": (dataset.action_dim,)}
    problems = [
        f"{key}: the prior expects {shape}, the data have {shapes.get(key, 'none')}"
        for key, shape in prior.expects(found).items()
        if shapes.get(key) != shape
    ]
    expected_box, box = (
        [edge.tolist() for edge in bounds]
        for bounds in (prior.action_bounds, dataset.action_bounds)
    )
    if box != expected_box:
        problems.append(f"action box (low, high): the prior expects {expected_box}, the data {box}")
    if problems:
        raise DataError("Data and prior disagree. " + "; ".join(problems) + ".")


def require_change(dataset: EpisodeDataset, prior: Trainable) -> None:
    """Nothing is learned from what never changes."""
    if len(dataset.actions) > 1 and not np.ptp(dataset.actions, axis=0).any():
        raise DataError(
            f"Expected actions that differ, got {dataset.n_steps} times "
            f"{dataset.actions[0].tolist()}. Look at how they were recorded."
        )
    rows = dataset.observation_rows()
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), _COMPARED)).astype(np.int64)]
    for name in prior.observation_spec.images if prior.looks else ():
        images = dataset.observations.get(name)
        if images is not None and len(chosen) > 1 and (images[chosen] == images[chosen[0]]).all():
            raise DataError(
                f"Expected images that differ under {name!r}, got the same one throughout; a prior "
                "that looks at it sees nothing. Look at the camera and at how it was recorded."
            )


def warn_of_gaps(dataset: EpisodeDataset, prior: Trainable) -> None:
    """Say what the data lack for what teaches the prior's encoder."""
    for gap in prior.gaps(dataset):
        warnings.warn(gap, UntaughtWarning, stacklevel=4)


def warn_of_unread(dataset: EpisodeDataset, spec: ObservationSpec) -> None:
    """Say which observations of the data a prior or an actor that looks at `spec` leaves aside."""
    unread = [
        f"{name} {part.shape[1:]}"
        for name, part in dataset.observations.items()
        if 0 not in part.shape[1:] and name not in spec.parts and SEES_FACT not in dataset.metadata
    ]
    if unread:
        warnings.warn(
            f"Not looked at in the data: {', '.join(unread)}. What a prior can look at are uint8 "
            "images, and vectors called proprio or state; others where sees=... names them.",
            UnreadDataWarning,
            stacklevel=4,
        )


def step_generator(seed: int, stream: int, step: int = 0) -> np.random.Generator:
    """The generator of one step; a resumed run draws what an unbroken one would."""
    return np.random.default_rng([seed, stream, step])


@contextmanager
def prefetched(
    make: Callable[[int], dict[str, Tensor]], *, start: int, stop: int, threads: int, pin: bool
) -> Iterator[Iterator[dict[str, Tensor]]]:
    """Batches `make(start)` to `make(stop - 1)` in order, made ahead by `threads` threads.

    Args:
        make: Batch of a step; called from threads.
        start: First step.
        stop: One past the last step.
        threads: How many batches are made at a time.
        pin: Put batches into page-locked memory, for fast copies to a GPU.
    """

    def prepare(step: int) -> dict[str, Tensor]:
        batch = make(step)
        return {key: value.pin_memory() for key, value in batch.items()} if pin else batch

    pool = ThreadPoolExecutor(threads, thread_name_prefix="prior-batches")

    def batches() -> Iterator[dict[str, Tensor]]:
        waiting: deque[Future[dict[str, Any]]] = deque()
        for step in range(start, stop):
            waiting.append(pool.submit(prepare, step))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield batches()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
