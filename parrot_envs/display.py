"""Whether PyBullet's window can open here. Where it cannot, PyBullet ends the whole process."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from parrot_envs.errors import EnvClosedError

_PATIENCE = 2.0
"""Seconds to wait for an X server: one without other windows starts anew when the last one goes."""


def has_display() -> bool:
    """Whether a display is named for PyBullet's window; on Linux it needs X11."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY"))


@contextmanager
def usable_display() -> Iterator[None]:
    """A display that answers and draws with OpenGL; it is held until the block ends."""
    if sys.platform != "linux":
        yield
        return
    name = os.environ.get("DISPLAY")
    if not name:
        raise _unusable("DISPLAY is not set")
    x11, _ = _library("libX11.so.6"), _library("libGL.so.1")  # what PyBullet loads
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = ctypes.c_void_p(_open(x11))
    if not display:
        raise _unusable(f"no X server answers at DISPLAY={name}")
    try:
        if not x11.XQueryExtension(display, b"GLX", *(ctypes.byref(ctypes.c_int()),) * 3):
            raise _unusable(f"the X server at DISPLAY={name} has no OpenGL (GLX)")
        yield
    finally:
        x11.XCloseDisplay(display)


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise _unusable(f"{name} is not installed") from error


def _open(x11: ctypes.CDLL) -> int | None:
    """Xlib's handle of the display, None where no server answers."""
    given_up = time.monotonic() + _PATIENCE
    while True:
        display: int | None = x11.XOpenDisplay(None)
        if display or time.monotonic() > given_up:
            return display
        time.sleep(0.05)


def _unusable(reason: str) -> EnvClosedError:
    return EnvClosedError(f"render_mode='human' needs a display, and {reason}. Take 'rgb_array'.")
