"""What agents of a study paid on their way: nats, and unsafe events."""

from __future__ import annotations

import numpy as np

from parrot_wrapper.experiments.statistics import estimate_iqm
from parrot_wrapper.experiments.study import Study, Variant
from parrot_wrapper.experiments.tables import Table

SPENT_CAPTION = (
    "KL: mean nats per decision to the prior, to uniform actions without one, over the last "
    "quarter of training. Unsafe: events in 1,000 env steps of all of it, by the env's own "
    "account. Means over tasks and seeds; a dash where it is not known."
)
_COLUMNS = {"kl": "KL", "unsafe_per_1000": "unsafe in 1,000"}


def spent_table(study: Study) -> Table | None:
    """One row a variant; None where no row of the study tells."""
    told = {variant: _means(study, variant) for variant in study.variants}
    if not any(value is not None for means in told.values() for value in means):
        return None
    rows = tuple(
        (
            study.label(variant),
            *("-" if value is None else f"{value:.2f}" for value in means),
            str(estimate_iqm(study.scores(variant))),
        )
        for variant, means in told.items()
    )
    return Table(("method", *_COLUMNS.values(), "IQM success"), rows, tuple(told))


def _means(study: Study, variant: Variant) -> list[float | None]:
    found = [[row.spent.get(name) for row in study.of(variant)] for name in _COLUMNS]
    known = [[value for value in values if value is not None] for values in found]
    return [float(np.mean(values)) if values else None for values in known]
