"""What errors say of unknown names and missing paths: the nearest that there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from parrot_wrapper.errors import UnknownNameError


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


def absence(path: Path) -> str:
    """A sentence with a leading blank for errors about what was not found at `path`.

    Empty where there is something. Else that there is nothing, and the nearest name beside it.

    Example:
        >>> absence(Path("."))
        ''
    """
    if path.exists():
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
