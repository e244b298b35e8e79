"""Processes that train one prior together, each on its rows of every batch.

`torchrun` starts them. All hold the same weights: gradients are averaged before every step. Rank 0
leads: it alone reads and writes checkpoints, validates, and decides when to stop.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from parrot_wrapper.errors import InvalidArgumentError, ProcessDiedError

_Value = TypeVar("_Value")
_TORCHRUN = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def require_shares(self, batch_size: int, *, in_parts: bool = False) -> None:
        """Refuse a batch that cannot be shared out evenly.

        Args:
            batch_size: Rows, which come in pairs from the same episode.
            in_parts: Whether an encoder learns first, in batches of half as many rows.
        """
        unit = 2 * self.size * (1 + in_parts)
        if self.size > 1 and batch_size % unit:
            why = " that train in two parts, the first with half batches" if in_parts else ""
            raise InvalidArgumentError(
                f"Expected a batch_size that is a multiple of {unit} for {self.size} processes"
                f"{why}, got {batch_size}."
            )

    def share(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Its rows of a batch: every `size`-th pair."""
        if self.size == 1:
            return batch
        self.require_shares(len(batch["action"]))  # of sequences there are fewer than of steps
        return {name: self._rows(part) for name, part in batch.items()}

    def _rows(self, part: Tensor) -> Tensor:
        pairs = torch.arange(len(part)).view(-1, 2)
        return part[pairs[self.rank :: self.size].flatten()]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all processes, in place."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        with _others():
            dist.all_reduce(flat)
        parts = torch.split(flat / self.size, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def one_of_them(self, holds: bool) -> bool:
        """Whether something holds in any process."""
        return any(self.all_of(holds))

    def all_of(self, value: _Value) -> list[_Value]:
        """What each process has, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _others():
            dist.all_gather_object(found, value)
        return found

    def led(self, value: Any) -> Any:
        """What the leader has."""
        if self.size == 1:
            return value
        told = [value if self.leads else None]
        with _others():
            dist.broadcast_object_list(told)
        return told[0]


def ranks() -> Ranks:
    """This process among those that `torchrun` has started; by itself where it has not."""
    if not all(name in os.environ for name in _TORCHRUN) or not dist.is_available():
        return Ranks()
    return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def joined(device: torch.device) -> Ranks:
    """As `ranks`, and connected with the others: by NCCL where they train on GPUs, else gloo."""
    found = ranks()
    if found.size > 1 and not dist.is_initialized():
        with _others():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return found


def own_device(device: torch.device) -> torch.device:
    """Of "cuda" the GPU that is this process's among those of its machine; others as they are."""
    if str(device) != "cuda" or ranks().size == 1:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)  # NCCL asks for it
    return own


@contextmanager
def _others() -> Iterator[None]:
    """For a word with the others, who may be gone."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessDiedError(
            "Another process of this training has ended or cannot be reached; what it said last "
            f"says why. The same command goes on from the last checkpoint. ({error})"
        ) from error
