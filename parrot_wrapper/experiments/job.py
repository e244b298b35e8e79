"""What the parent tells a worker process to do, as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from parrot_wrapper.experiments.runs import Run


@dataclass(frozen=True)
class RunJob:
    """Train and score the run of a grid, and leave its row in its folder.

    Attributes:
        run: The run.
        folder: Its folder.
        artifacts: Packaged name or folder of each learned part by kind.
        device: Torch device.
    """

    run: Run
    folder: str
    artifacts: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"


@dataclass(frozen=True)
class CommandJob:
    """Run a `parrot` command.

    Attributes:
        words: What stands behind `parrot`.
    """

    words: tuple[str, ...]


Job = RunJob | CommandJob


def to_line(job: Job) -> str:
    """One line of JSON.

    Example:
        >>> from_line(to_line(CommandJob(("info",))))
        CommandJob(words=('info',))
    """
    return json.dumps({"kind": type(job).__name__, **asdict(job)}) + "\n"


def from_line(line: str) -> Job:
    """The inverse of `to_line`."""
    values = json.loads(line)
    if values.pop("kind") == CommandJob.__name__:
        return CommandJob(tuple(values["words"]))
    return RunJob(**{**values, "run": Run.from_dict(values["run"])})
