"""What NumPy does at floating-point events, apart from what the caller's program wants of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def quiet_floats() -> Iterator[None]:
    """No warning and no error at underflow, overflow and the like; also a decorator.

    A tiny number that becomes zero is no mistake, and what matters is checked by name: that numbers
    are finite. So `np.seterr` of the caller changes nothing here.
    """
    with np.errstate(all="ignore"):
        yield


@contextmanager
def quiet_underflow() -> Iterator[None]:
    """For an env's step: a prior's action may be so small that its square is zero.

    All else that the caller wants to hear of in the env is heard.
    """
    with np.errstate(under="ignore"):
        yield
