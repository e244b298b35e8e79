"""What a caller has set for torch as a whole, kept out of what priors compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch

from parrot_wrapper.float_errors import quiet_floats

_WITH_AUTOCAST = ("cpu", "cuda")


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
    usual = torch.empty(0)  # quicker than to ask for the default device
    if usual.dtype != torch.float32:
        yield _float32()
    if usual.device.type != "cpu":
        yield torch.device("cpu")
    if torch.is_inference_mode_enabled():
        yield torch.inference_mode(False)
    if not torch.is_grad_enabled():
        yield torch.enable_grad()
    for device in _WITH_AUTOCAST:
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)


@contextmanager
def _float32() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
