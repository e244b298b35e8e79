"""Every exception that `parrot_wrapper` raises on purpose, and its warnings of data.

Each error class derives from `ParrotError` *and* from the builtin that fits, so that
generic handlers (`except ValueError`) keep working.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class ParrotError(Exception):
    """Root of all errors raised by this package for a mistake a user can fix."""


class InvalidArgumentError(ParrotError, ValueError):
    """An argument has a value outside its documented range."""


class UnknownNameError(ParrotError, ValueError):
    """A name (prior, chart, encoder, env id, option) is not one of the known ones."""


class SpaceMismatchError(ParrotError, ValueError):
    """An environment and a prior disagree; the message lists every disagreement."""


class LatentError(ParrotError, ValueError):
    """A latent action has the wrong shape or dtype or is not finite."""


class NotOfferedError(ParrotError, NotImplementedError):
    """A prior was asked for something that its kind does not have, such as an exact inverse."""


class CheckpointError(ParrotError, ValueError):
    """A checkpoint is truncated, altered, foreign or of a newer format."""


class DataFileError(ParrotError, ValueError):
    """A data set file or folder is truncated, altered, foreign or of a newer format."""


class DataError(ParrotError, ValueError):
    """Data are well-formed on disk but unusable (empty, NaN, shapes that disagree)."""


class UnreadDataWarning(UserWarning):
    """Data have parts at which the prior that learns from them does not look."""


class UntaughtWarning(UserWarning):
    """Data lack what teaches the encoder that is to learn from them where things are."""


class WriteError(ParrotError, OSError):
    """A file cannot be written: the disk is full, or the folder is read-only or another's."""


class ExecutorError(ParrotError, ChildProcessError):
    """A process that was doing a task has died, or its error cannot be told as it is."""


class ProcessDiedError(ExecutorError):
    """A process was killed or ended by itself before its task was done; another may do it."""


class ClusterError(ParrotError, ConnectionError):
    """Other machines cannot be reached, or lack what a task needs; the message names which."""


class MissingExtraError(ParrotError, ImportError):
    """An optional dependency is not installed; the message has the pip command."""


@contextmanager
def needed_extra(extra: str, what: str) -> Iterator[None]:
    """For a block that imports an optional dependency.

    Args:
        extra: What `pip install 'parrot-wrapper[...]'` has to name.
        what: What needs it, in words that begin a sentence.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{what}: pip install 'parrot-wrapper[{extra}]' ({error})."
        ) from error


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build (not raise) the error for a name that is not among `known`.

    Args:
        kind: What the name stands for, e.g. `"prior"`.
        name: What the user typed.
        known: All valid names.

    Example:
        >>> str(unknown_name("chart", "gausian", ["gaussian", "box"]))
        "Unknown chart 'gausian'. Did you mean 'gaussian'? Known: box, gaussian."
    """
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return UnknownNameError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(choices)}.")


def require_known(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise `unknown_name` for the first name that is not among `known`."""
    for name in names:
        if name not in known:
            raise unknown_name(kind, str(name), known)


def absence(path: object) -> str:
    """A sentence with a leading blank for errors about what was not found at `path`.

    Empty where there is something, or where it is on no disk of this machine. Else that there is
    nothing, and the nearest name beside it.

    Example:
        >>> absence(Path("."))
        ''
    """
    if not isinstance(path, Path) or path.exists():
        return ""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    try:
        beside = sorted(entry.name for entry in missing.parent.iterdir())
    except OSError:
        beside = []
    nearest = difflib.get_close_matches(missing.name, beside, n=1)
    hint = f" Did you mean {str(missing.parent / nearest[0])!r}?" if nearest else ""
    return f" There is no file or folder {str(missing)!r}.{hint}"
