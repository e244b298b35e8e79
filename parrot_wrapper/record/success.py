"""Whether an env says that its task is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUCCESS_KEYS = ("is_success", "success")
"""Names that envs use in `info`: most the first, Meta-World the second."""


def told_success(info: Mapping[str, Any]) -> bool | None:
    """Whether the task's condition holds; None where the env does not tell.

    Example:
        >>> told_success({"success": 1.0}), told_success({"is_success": False}), told_success({})
        (True, False, None)
    """
    for key in SUCCESS_KEYS:
        if key in info:
            return bool(info[key])
    return None
