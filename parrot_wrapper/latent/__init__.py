"""The agent's latent box: charts by their text, and SAC's entropy as nats from the prior.

Stock SAC needs a finite action box and measures entropy in it. With the Gaussian chart, uniform u
is exactly z ~ N(0, I), and because a bijection leaves KL unchanged,

    entropy(pi_u) = Z log 2 - KL(pi(action|s) || prior(action|s)),

so maximum-entropy RL in u *is* RL regularised towards the prior. Equality holds for a flow; for a
prior that is not a bijection the KL of what is executed is smaller than the formula says. With
another chart the reference is the prior fed by that chart's image of uniform u instead of N(0, I).
"""

from __future__ import annotations

import math
import operator
from dataclasses import fields
from typing import Protocol, SupportsIndex

from parrot_wrapper.checks import is_number, require_positive
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.latent.charts import (
    CHARTS,
    BallChart,
    BoxChart,
    Chart,
    GaussianChart,
    TemperedChart,
    TruncatedChart,
)

__all__ = [
    "CHARTS",
    "CHART_FORMS",
    "BallChart",
    "BoxChart",
    "Chart",
    "GaussianChart",
    "TemperedChart",
    "TruncatedChart",
    "kl_is_bound",
    "kl_to_prior",
    "parse_chart",
    "target_entropy",
]

CHART_FORMS = ("gaussian", "box:2.0", "truncated:0.05", "tempered:0.8", "ball:0.9")
"""One example of each form that `parse_chart` reads."""


class _HasShape(Protocol):
    """A space: only its shape is asked for, so this module needs no gymnasium."""

    @property
    def shape(self) -> tuple[int, ...] | None: ...


def parse_chart(chart: str | Chart) -> Chart:
    """Make a chart from its text, one of the forms in `CHART_FORMS`.

    Args:
        chart: The text, or a chart, which is returned as it is.

    Raises:
        UnknownNameError: No chart has such a name.
        InvalidArgumentError: The number is missing, not a number, or out of range.

    Example:
        >>> parse_chart("box:2").to_latent([-0.5, 0.25])
        array([-1. ,  0.5], dtype=float32)
    """
    if isinstance(chart, Chart):
        return chart
    if not isinstance(chart, str):
        raise InvalidArgumentError(
            f"Expected a chart or one of {', '.join(CHART_FORMS)}, got {chart!r}."
        )
    name, colon, number = chart.partition(":")
    kind = CHARTS.get(name)
    if not fields(kind):
        if colon:
            raise InvalidArgumentError(
                f"The chart {name!r} takes no number, got {chart!r}. Forms: "
                f"{', '.join(CHART_FORMS)}."
            )
        plain: Chart = kind()
        return plain
    try:
        value = float(number)
    except ValueError as error:
        raise InvalidArgumentError(
            f"The chart {name!r} needs a number, got {chart!r}. Forms: {', '.join(CHART_FORMS)}."
        ) from error
    made: Chart = kind(value)
    return made


def target_entropy(space: _HasShape | SupportsIndex, *, kl: float) -> float:
    """Entropy target for SB3's SAC that lets the policy be `kl` nats away from the prior.

    The entropy of u at a given KL is Z log 2 - kl. SB3's own default, -Z, is a budget of 1.69 nats
    per dimension, which hardly binds: e^-kl is the share of the prior's mass that the policy keeps.

    Args:
        space: The wrapped env's action space, or its dimension Z.
        kl: Budget in nats for each decision, > 0. 1 is the best of 6 samples of the prior, 5 the
            best of 400.

    Raises:
        InvalidArgumentError: `kl` is not positive and finite, or the space has no dimension.

    Example:
        >>> round(target_entropy(7, kl=5.0), 3)
        -0.148
    """
    require_positive("The KL budget `kl`", kl)
    return _dimension(space) * math.log(2.0) - float(kl)


def kl_to_prior(entropy: float, space: _HasShape | SupportsIndex) -> float:
    """KL to the prior, in nats, of a policy in u with this entropy; inverse of `target_entropy`.

    Args:
        entropy: Differential entropy of the policy in u, in nats; mean of -log pi(u|s).
        space: The wrapped env's action space, or its dimension Z.

    Returns:
        The KL for a flow with the Gaussian chart; for a prior that is no bijection an upper bound.

    Raises:
        InvalidArgumentError: The entropy is no number, or the space has no dimension.

    Example:
        >>> round(kl_to_prior(-7.0, 7), 2)  # SB3's default target at 7 dimensions
        11.85
    """
    if not is_number(entropy):
        raise InvalidArgumentError(f"Expected the entropy as a number of nats, got {entropy!r}.")
    return _dimension(space) * math.log(2.0) - float(entropy)


def kl_is_bound(prior: object) -> bool:
    """Whether accounts of the KL to a prior are upper bounds of that of what is executed.

    They are exact where each action has one latent, which a prior says by `bijective`. What says
    nothing of the kind counts as a bound, which is always right.

    Example:
        >>> kl_is_bound(object())
        True
    """
    return not getattr(prior, "bijective", False)


def _dimension(space: _HasShape | SupportsIndex) -> int:
    try:  # arrays and tensors of one integer are indices too
        dim = operator.index(space)  # type: ignore[arg-type]  # of what else it says so itself
    except TypeError:
        shape = getattr(space, "shape", None)
        dim = math.prod(shape) if shape and not hasattr(space, "__array__") else 0
    if dim < 1:
        raise InvalidArgumentError(
            f"Expected a Box action space or a dimension of 1 or more, got {space!r}."
        )
    return dim
