"""What a caller has set for torch and NumPy, and how many threads: kept out of what we compute.

Torch is imported where it is used: `import parrot_wrapper` needs this module, and stays light.

CPU threads: the networks here are small. A second thread gains little on idle cores, and where
something else uses them the threads wait for each other at every layer. A forked process inherits
the notion of its parent's threads, but not the threads: there, more than one would wait for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

DEFAULT_THREADS = 1
"""Of every command, of fits and of the processes of studies."""
_FEW_ROWS = 16
"""Batches up to this size are embedded and decoded on one thread."""
_forked = False


@contextmanager
def quiet_floats() -> Iterator[None]:
    """No warning and no error at underflow, overflow and the like; also a decorator.

    A tiny number that becomes zero is no mistake, and what matters is checked by name: that numbers
    are finite. So `np.seterr` of the caller changes nothing here.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        yield


@contextmanager
def quiet_underflow() -> Iterator[None]:
    """For an env's step: a prior's action may be so small that its square is zero.

    All else that the caller wants to hear of in the env is heard.
    """
    import numpy as np

    with np.errstate(under="ignore"):
        yield


@contextmanager
def own_surroundings() -> Iterator[None]:
    """Float32 on the CPU by default, gradients possible, no autocast, quiet floats in the block.

    Also a decorator. Whatever the caller has around the call, the same comes out: `torch.no_grad`,
    `torch.inference_mode`, `torch.autocast`, `torch.set_default_dtype`, `torch.set_default_device`
    and `np.seterr` are as they were afterwards. Only what differs is changed, so it costs little.
    """
    with quiet_floats(), ExitStack() as changed:
        for change in _changes():
            changed.enter_context(change)
        yield


def _changes() -> Iterator[AbstractContextManager[Any]]:
    import torch

    usual = torch.empty(0)  # quicker than to ask for the default device
    if usual.dtype != torch.float32:
        yield _float32()
    if usual.device.type != "cpu":
        yield torch.device("cpu")
    if torch.is_inference_mode_enabled():
        yield torch.inference_mode(False)
    if not torch.is_grad_enabled():
        yield torch.enable_grad()
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)


@contextmanager
def _float32() -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def use_threads(threads: int = DEFAULT_THREADS) -> None:
    """Set torch's CPU threads, in a forked process to one at most; 0 leaves them."""
    import torch

    if threads > 0:
        torch.set_num_threads(1 if _forked else threads)


@contextmanager
def torch_threads(threads: int = DEFAULT_THREADS) -> Iterator[None]:
    """`use_threads` for a block; nothing where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:  # a prior that does without
        yield
        return
    before = torch.get_num_threads()
    use_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(rows: int) -> int:
    """How many threads a pass over a batch takes; 0 for as many as torch is set to."""
    return 1 if rows <= _FEW_ROWS else 0


def _begin_forked() -> None:
    global _forked
    _forked = True
    torch = sys.modules.get("torch")
    if torch is not None:  # what a process loads itself has threads of its own
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked)
    # forked before this module was there
    if isinstance(multiprocessing.current_process(), multiprocessing.get_context("fork").Process):
        _begin_forked()
