"""A task on a machine of a cluster: in a process of its own that can be watched and stopped."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from typing import Any

from parrot_wrapper import __version__, errors
from parrot_wrapper.errors import (
    ClusterError,
    ExecutorError,
    MissingExtraError,
    ParrotError,
    ProcessDiedError,
    WriteError,
)
from parrot_wrapper.io.executors import LocalProcesses, Task

Outcome = tuple[Any, BaseException | None]
"""What the function returned, or raised; KeyboardInterrupt where it was stopped."""
_OF_A_MACHINE = (MissingExtraError, WriteError)
"""Errors that another machine may not have."""


def versions() -> dict[str, str]:
    """What has to be alike on all machines."""
    return {
        "parrot-wrapper": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


def require_versions(expected: dict[str, str]) -> None:
    """Refuse to work with other versions than the machine that the command runs on.

    Raises:
        ClusterError: They differ; this machine and both versions are named.
    """
    if (found := versions()) != expected:
        raise ClusterError(
            f"{platform.node()}: expected {expected} as where the command runs, found {found}. "
            "Install the same versions on all machines."
        )


def supervised(
    task: Task, engine: LocalProcesses, asked_to_stop: Callable[[], bool], *, look_every: float
) -> Outcome:
    """Do a task in a process.

    Args:
        task: The task.
        engine: Of this machine, with nothing else to do.
        asked_to_stop: Called every `look_every` seconds.
        look_every: Seconds.

    Raises:
        ProcessDiedError: The process died; this machine is named.
    """
    if asked_to_stop():
        return None, KeyboardInterrupt()
    engine.submit(task)
    while not (ended := engine.poll(look_every)):
        if asked_to_stop():
            engine.stop()
    error = ended[0].error
    if isinstance(error, ProcessDiedError):
        raise ProcessDiedError(f"{platform.node()}: {task.name}: {error}")
    return ended[0].value, placed(error) if isinstance(error, _OF_A_MACHINE) else error


def placed(error: ParrotError) -> ParrotError:
    """The same error with the name of this machine before it."""
    told = type(error)(f"{platform.node()}: {error}")
    told.__cause__ = error.__cause__
    return told


def before_the_task(trace: str, where: str) -> ParrotError:
    """What kept a worker from its task: it cannot even import what is to be done.

    Args:
        trace: What its Python said.
        where: Its machine.
    """
    line = trace.strip().splitlines()[-1]
    if "ModuleNotFoundError" in line:
        return ClusterError(f"{where}: {line}. Install the same packages on all machines.")
    ours = re.match(rf"{errors.__name__}\.(\w+): (.+)", line)
    kind = getattr(errors, ours[1], ExecutorError) if ours else ExecutorError
    told: ParrotError = kind(f"{where}: {ours[2] if ours else line}")
    return told
