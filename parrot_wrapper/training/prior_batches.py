"""Batches for prior training: drawn by step number, prepared ahead in threads, always in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from parrot_wrapper.errors import DataError
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.types import AnyArray, FloatArray

_EDGE = 1e-6
_AHEAD = 3
"""Batches that wait ready for each loader thread."""


class PairSource(Protocol):
    """What training needs of an `EpisodeDataset`."""

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) of the action box."""

    def sample_pairs(self, batch_size: int, rng: np.random.Generator) -> Mapping[str, AnyArray]:
        """Observations, "action" and labels; entries 2i and 2i + 1 are of one episode."""


def spread_edges(
    action: FloatArray, low: FloatArray, high: FloatArray, *, scale: float, rng: np.random.Generator
) -> FloatArray:
    """Undo the clipping of noisy actions: move those on an edge of the box outwards at random.

    Args:
        action: (B, A) within the box.
        low: (A,) lower edge.
        high: (A,) upper edge.
        scale: Standard deviation of the normal whose absolute value is added, in half-widths
            of the box.
        rng: Source of the noise; draws the same amount whatever the actions are.

    Returns:
        (B, A) float32; interior actions are unchanged.
    """
    half = high / 2 - low / 2  # halved first: the box may be as wide as float32 reaches
    outwards = np.abs(rng.standard_normal(action.shape, dtype=np.float32))
    outwards *= np.float32(scale) * half
    spread = np.where(action >= high - _EDGE * half, action + outwards, action)
    result: FloatArray = np.where(action <= low + _EDGE * half, action - outwards, spread)
    return result.astype(np.float32)


def batch_maker(
    source: PairSource, config: PriorConfig, *, batch_size: int, edge_spread: float
) -> Callable[[np.random.Generator], dict[str, Tensor]]:
    """A function from a generator to a batch of CPU tensors, floats in float32.

    Raises:
        DataError: The data lack what the prior looks at, or their actions have another length.
    """
    check_source(source, config)
    return pair_maker(source, batch_size=batch_size, edge_spread=edge_spread)


def pair_maker(
    source: PairSource, *, batch_size: int, edge_spread: float
) -> Callable[[np.random.Generator], dict[str, Tensor]]:
    """`batch_maker` without the comparison with a prior."""
    low, high = source.action_bounds

    def make(rng: np.random.Generator) -> dict[str, Tensor]:
        batch = dict(source.sample_pairs(batch_size, rng))
        batch["action"] = spread_edges(batch["action"], low, high, scale=edge_spread, rng=rng)
        return {key: _tensor(value) for key, value in batch.items()}

    return make


def _tensor(value: AnyArray) -> Tensor:
    if value.dtype in (np.float64, np.float16):
        value = value.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(value))


def check_source(source: PairSource, config: PriorConfig) -> None:
    """Compare a sample of the data with a prior.

    Raises:
        DataError: They disagree; every disagreement is named.
    """
    spec, sample = config.observation, source.sample_pairs(2, np.random.default_rng(0))
    expected: dict[str, tuple[int, ...]] = {"action": (config.action_dim,)}
    if spec.image is not None:
        expected["image"] = spec.image
    for key, length in (("proprio", spec.proprio), ("state", spec.state)):
        if length:
            expected[key] = (length,)
    problems = [
        f"{key}: the prior expects {shape}, the data have "
        + (str(sample[key].shape[1:]) if key in sample else "none")
        for key, shape in expected.items()
        if key not in sample or sample[key].shape[1:] != shape
    ]
    expected_box = np.array((config.action_low, config.action_high), np.float32).tolist()
    box = np.array(source.action_bounds, np.float32).tolist()
    if box != expected_box:
        problems.append(f"action box (low, high): the prior expects {expected_box}, the data {box}")
    if problems:
        raise DataError("Data and prior disagree. " + "; ".join(problems) + ".")


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
