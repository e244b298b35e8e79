"""What the tests of engines have done, in a module that is imported quickly."""

import os
import resource
import signal
import time
from pathlib import Path

from parrot_wrapper.errors import InvalidArgumentError, MissingExtraError
from parrot_wrapper.io.atomic_files import write_json
from parrot_wrapper.io.interruption import deferred_interrupt


class TwoWordsError(Exception):
    """It cannot be made again from its `args`."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def own_id() -> int:
    return os.getpid()


def threads() -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def say(words: str) -> None:
    print(words)
    os.write(2, b"and from C\n")
    raise InvalidArgumentError("not this")


def raise_strange() -> None:
    raise TwoWordsError("one", "two")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    raise SystemExit(3)


def give_what_cannot_be_sent() -> object:
    return lambda: None


def patient(folder: Path) -> None:
    """Goes on to its next good moment when it is asked to stop."""
    with deferred_interrupt() as interruption:
        (folder / "begun").touch()
        print("begun")
        while not interruption.requested:
            time.sleep(0.01)
        (folder / "saved").touch()
    raise KeyboardInterrupt


def stubborn(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (folder / "begun").touch()
    time.sleep(600)


def die_once(mark: Path) -> str:
    """Dies the first time; `mark` tells that it was there."""
    if not mark.exists():
        mark.touch()
        die()
    return "done"


def hang_once(mark: Path) -> str:
    """Takes for ever the first time; `mark` tells that it was there."""
    if not mark.exists():
        mark.touch()
        time.sleep(600)
    return "done"


def copy(source: Path, target: Path) -> Path:
    """Copies a file, and tells where it works."""
    target.mkdir(exist_ok=True)
    (target / "copy").write_bytes(source.read_bytes() + b" copied")
    return Path.cwd()


def fill_the_disk() -> None:
    """As where there is room for ten bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        write_json(Path("made.json"), list(range(1_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lack_an_extra() -> None:
    raise MissingExtraError("needs what this machine does not have")


class NeedsAnExtra:
    """An argument that can be read only where an extra is installed."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return lack_an_extra, ()
