"""What a study's priors are worth before RL, what RL makes of them, and what agents paid for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from parrot_wrapper.experiments.statistics import estimate_iqm, smoothed
from parrot_wrapper.experiments.study import Study, Variant
from parrot_wrapper.experiments.tables import Table

_RANKED = 5
"""Priors, at least: the order of fewer says little."""
_EARLY = 0.4
"""Of a run's env steps: 10,000 of 25,000."""
_SHARES = {"samples of the prior": "samples", "clone in z": "clone"}
_MEASURES = {
    "likelihood": ("nll", -1.0),
    "error of the next keyframe": ("keyframe_error", -1.0),
    "variance that a clone in z leaves": ("clone_error", -1.0),
    "success of a clone in z": ("clone", 1.0),
    "samples that lift something": ("lifted", 1.0),
    "samples that succeed": ("samples", 1.0),
}
"""What is measured before RL: its name in rows, and 1 where more is better."""
RANKED_CAPTION = (
    "Spearman's rank correlation, over priors, of what is measured before RL with the held-out "
    "success of SAC behind them, both means over tasks: 1 where the measure puts the priors in the "
    "order of what RL makes of them."
)
JUDGED_CAPTION = (
    "Likelihood: nats per action dimension of the expert's successes, lower is better; <= where an "
    "action may have several latents, so that KLs are bounds; a dash where a kind has no density. "
    "Samples and clone: share of held-out episodes that end in success. Clone: the expert cloned "
    "in z on the prior's features. SAC: interquartile means, first of training episodes, then "
    "held-out. Cost: milliseconds of a decision for one env, and the env steps that it drives; "
    "minutes that the prior was trained for."
)


def judged_table(study: Study) -> Table:
    """One row a variant whose prior was judged: means over tasks."""
    steps = max(row.env_steps for row in study.rows)
    early = _EARLY * steps
    header = ["prior", "likelihood", "samples", "clone in z", f"SAC at {early:,.0f}"]
    header += [f"SAC at {steps:,}", "ms a decision", "steps a decision", "training minutes"]
    variants = _judged(study)
    rows = []
    for variant in variants:
        told = {name: _mean(study, variant, name) for name in _names(study, variant)}
        bound = "<= " if told.get("nll_is_bound") else ""
        nll = told.get("nll")
        curves = [smoothed(row.curve) for row in study.of(variant)]
        reached = [[rate for step, rate in curve if step <= early] for curve in curves]
        training = [rates[-1] for rates in reached if rates]
        rows.append(
            (
                study.label(variant),
                "-" if nll is None else f"{bound}{nll:.2f}",
                *(_cell(told.get(name), "{:.2f}") for name in _SHARES.values()),
                f"{np.mean(training):.2f}" if training else "-",
                str(estimate_iqm(study.scores(variant))),
                _cell(told.get("decision_ms"), "{:.1f}"),
                _cell(told.get("horizon"), "{:.0f}"),
                _cell(told.get("training_minutes"), "{:.1f}"),
            )
        )
    return Table(tuple(header), tuple(rows), tuple(variants))


def ranking_table(study: Study) -> Table | None:
    """How well each measure ranks the priors; None for fewer than five of them."""
    variants = _judged(study)
    if len(variants) < _RANKED:
        return None
    success = [float(np.mean([row.score.value for row in study.of(v)])) for v in variants]
    rows = []
    for title, (name, sign) in _MEASURES.items():
        told = [_mean(study, variant, name) for variant in variants]
        if len(set(told)) > 1 and None not in told:
            worth = [sign * value for value in told if value is not None]
            rows.append((title, f"{spearmanr(worth, success).statistic:.2f}"))
    return Table(("measured before RL", f"rank correlation, {len(variants)} priors"), tuple(rows))


def judged_shares(study: Study) -> dict[str, dict[Variant, Sequence[float]]]:
    """Success of samples, clones and agents of each variant, by task or run."""
    parts: dict[str, dict[Variant, Sequence[float]]] = {}
    for title, name in _SHARES.items():
        for variant in study.variants:
            found = _values(study, variant, name)
            if found:
                parts.setdefault(title, {})[variant] = found
    parts["SAC behind it"] = {
        variant: [row.score.value for row in study.of(variant)] for variant in study.variants
    }
    return parts


def _judged(study: Study) -> list[Variant]:
    return [v for v in study.variants if any(row.judged for row in study.of(v))]


def _names(study: Study, variant: Variant) -> set[str]:
    return {name for row in study.of(variant) for name in row.judged}


def _values(study: Study, variant: Variant, name: str) -> list[float]:
    told = (row.judged.get(name) for row in study.of(variant))
    return [value for value in told if value is not None]


def _mean(study: Study, variant: Variant, name: str) -> float | None:
    found = _values(study, variant, name)
    return float(np.mean(found)) if found else None


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


SPENT_CAPTION = (
    "KL: mean nats per decision to the prior, to uniform actions without one, over the last "
    "quarter of training. Unsafe: events in 1,000 env steps of all of it, by the env's own "
    "account. Means over tasks and seeds; a dash where it is not known."
)
_SPENT = {"kl": "KL", "unsafe_per_1000": "unsafe in 1,000"}


def spent_table(study: Study) -> Table | None:
    """One row a variant; None where no row of the study tells."""
    told = {variant: _spent(study, variant) for variant in study.variants}
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
    return Table(("method", *_SPENT.values(), "IQM success"), rows, tuple(told))


def _spent(study: Study, variant: Variant) -> list[float | None]:
    found = [[row.spent.get(name) for row in study.of(variant)] for name in _SPENT]
    known = [[value for value in values if value is not None] for values in found]
    return [float(np.mean(values)) if values else None for values in known]
