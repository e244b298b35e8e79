"""Errors for unknown names that point to the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
