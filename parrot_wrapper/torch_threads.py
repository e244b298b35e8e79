"""How many CPU threads torch uses: where the default is decided, and why forked processes have one.

The networks here are small. A second thread gains little on idle cores, and where something else
uses them the threads wait for each other at every layer. A forked process inherits the notion of
its parent's threads, but not the threads: there, more than one would wait for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULT_THREADS = 1
"""Of every command, of fits and of the processes of studies."""
_FEW_ROWS = 16
"""Batches up to this size are embedded and decoded on one thread."""
_forked = False


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
