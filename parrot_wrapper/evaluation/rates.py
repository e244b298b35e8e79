"""Success rates with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

from parrot_wrapper.checks import check_fields
from parrot_wrapper.errors import InvalidArgumentError

_Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Rate:
    """A share of episodes with its 95 % Wilson interval.

    Attributes:
        hits: Episodes that counted, 0 to `total`.
        total: Episodes, at least 1.

    Raises:
        InvalidArgumentError: The counts are impossible.

    Example:
        >>> rate = Rate(50, 100)
        >>> rate.value, [round(end, 2) for end in rate.interval]
        (0.5, [0.4, 0.6])
        >>> str(rate)
        '0.50 [0.40, 0.60]'
    """

    hits: int
    total: int

    def __post_init__(self) -> None:
        check_fields(self)
        if not (self.total >= 1 and 0 <= self.hits <= self.total):
            raise InvalidArgumentError(
                f"Expected 0 <= hits <= total and at least one episode, "
                f"got {self.hits} of {self.total}."
            )

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval (Wilson 1927), within [0, 1]."""
        n, p = self.total, self.value
        scale = 1.0 + _Z95**2 / n
        centre = (p + _Z95**2 / (2 * n)) / scale
        half = _Z95 / scale * math.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def to_dict(self) -> dict[str, float | int]:
        """Value, interval and episodes, JSON-able."""
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high, "episodes": self.total}

    def __str__(self) -> str:
        """Value and interval with two decimals."""
        low, high = self.interval
        return f"{self.value:.2f} [{low:.2f}, {high:.2f}]"
