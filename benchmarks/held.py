"""A task that waits in its middle while a script wants it to: no machine is too fast, or too slow.

`HeldNavigation-v0` is `ParrotSequentialNavigation-v0`, except that its 20th step waits as long as
there is a file `NODE.hold` in the folder that the variable HELD_AT names. A file `NODE.held` tells
that it waits. NODE is the name of the machine, or what Slurm calls it.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import gymnasium as gym

from parrot_envs.sequential_navigation import SequentialNavigation

ENV_ID = "HeldNavigation-v0"
_STEP = 20


def hold(folder: Path, node: str) -> None:
    """Let what begins on a node wait."""
    (folder / f"{node}.hold").touch()


def is_held(folder: Path, node: str) -> bool:
    """Whether something waits there, or has waited."""
    return (folder / f"{node}.held").exists()


def release(folder: Path, node: str) -> None:
    """Let it go on."""
    (folder / f"{node}.hold").unlink()


class HeldNavigation(SequentialNavigation):
    """As its base, but that it can be made to wait."""

    _steps = 0

    def step(self, action: Any) -> Any:
        """One step of its base."""
        self._steps += 1
        if self._steps == _STEP and "HELD_AT" in os.environ:
            folder = Path(os.environ["HELD_AT"])
            node = os.environ.get("SLURMD_NODENAME", platform.node())
            while (folder / f"{node}.hold").exists():
                (folder / f"{node}.held").touch()
                time.sleep(0.05)
        return super().step(action)


if ENV_ID not in gym.registry:
    gym.register(ENV_ID, entry_point="held:HeldNavigation", max_episode_steps=150)
