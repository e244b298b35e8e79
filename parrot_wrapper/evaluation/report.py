"""A judgement as a Markdown table that also reads well in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from parrot_wrapper.evaluation.rollouts import EvaluationResult, Rate

if TYPE_CHECKING:  # these bring SciPy and torch, which a command's --help should not
    from parrot_wrapper.evaluation.judge import Judgement
    from parrot_wrapper.evaluation.likelihood import Likelihood
    from parrot_wrapper.evaluation.regression import KeyframeError, Probe


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns.

    Example:
        >>> print(markdown_table(["policy", "success"], [["prior", "0.57"]]))
        | policy | success |
        |--------|---------|
        | prior  | 0.57    |
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def judgement_text(judgement: Judgement, *, prior_name: str = "") -> str:
    """All measures as Markdown; intervals are 95 % Wilson, what was skipped says why."""
    count = len(judgement.uniform.episodes)
    parts = [
        " ".join(filter(None, ["# Prior", prior_name, "in", judgement.env_id])),
        f"{count} held-out episodes for each policy; {judgement.seconds:.0f} s in all.",
        "## Rollouts",
        rollout_table(_rollouts(judgement)),
    ]
    fits = [("data", judgement.on_data), ("expert in this env", judgement.on_expert)]
    measured = [(name, fit) for name, fit in fits if fit is not None]
    if measured:
        parts += ["## Likelihood", _likelihood_table(measured)]
    if judgement.keyframes is not None:
        parts += ["## Next keyframe", _keyframe_lines(judgement.keyframes)]
    if judgement.cloning is not None:
        parts += ["## Cloning", _cloning_lines(judgement)]
    if judgement.probe is not None:
        parts += ["## Probe (RMSE in cm: x / y / z)", _probe_table(judgement.probe)]
    if judgement.skipped:
        reasons = [f"- {name}: {reason}" for name, reason in sorted(judgement.skipped.items())]
        parts += ["## Skipped", "\n".join(reasons)]
    parts += ["## Verdict", str(judgement.verdict)]
    return "\n\n".join(parts) + "\n"


def rollout_table(results: Mapping[str, EvaluationResult]) -> str:
    """Success at end and ever, any lifted, any placed, mean return of policies by name.

    Columns that the env can fill for none of them are left out.
    """
    cells = {name: _rollout_cells(result) for name, result in results.items()}
    header = [key for key in next(iter(cells.values())) if any(row[key] for row in cells.values())]
    rows = [[name, *(row[key] or "-" for key in header)] for name, row in cells.items()]
    return markdown_table(["policy", *header], rows)


def _rollout_cells(result: EvaluationResult) -> dict[str, str]:
    def cell(rate: Rate | None) -> str:
        return "" if rate is None else str(rate)

    return {
        "success at end": cell(result.success) if result.tells_success else "",
        "success ever": cell(result.success_once) if result.tells_success else "",
        "any lifted": cell(result.share("lifted")),
        "any placed": cell(result.share("placed")),
        "return": f"{result.mean_return:.2f}",
    }


def _rollouts(judgement: Judgement) -> dict[str, EvaluationResult]:
    found = {"uniform actions": judgement.uniform, "samples of the prior": judgement.samples}
    if judgement.cloning is not None:
        cloning = judgement.cloning
        found["clone: z from features"] = cloning.latent.rollouts
        found["clone: actions from features"] = cloning.action.rollouts
        if cloning.privileged is not None:
            found["clone: z from state (control)"] = cloning.privileged.rollouts
    if judgement.reachability is not None:
        pairs = zip(judgement.reachability.limits, judgement.reachability.rollouts, strict=True)
        found |= {f"expert, |z| <= {limit:g}": result for limit, result in pairs}
    return found


def _likelihood_table(fits: Sequence[tuple[str, Likelihood]]) -> str:
    columns = [_likelihood_cells(fit) for _, fit in fits]
    rows = [[measure, *(cells[measure] for cells in columns)] for measure in columns[0]]
    return markdown_table(["measure", *(name for name, _ in fits)], rows)


def _likelihood_cells(fit: Likelihood) -> dict[str, str]:
    return {
        "actions": str(fit.steps),
        "NLL, mean (nats)": f"{fit.nll:.2f}",
        "NLL, median (nats)": f"{fit.nll_median:.2f}",
        "NLL per dimension": f"{fit.nll_per_dimension:.3f}",
        "inversion error, max": f"{fit.inversion_error:.1e}",
        "encoded mean, largest": f"{max(map(abs, fit.latent_mean)):.2f}",
        "encoded std, range": f"{min(fit.latent_std):.2f} to {max(fit.latent_std):.2f}",
        "encoded KS distance, largest": f"{max(fit.latent_ks):.3f}",
        "samples outside the box": f"{fit.box_exits:.3f}",
    }


def _keyframe_lines(found: KeyframeError) -> str:
    header = ["kinds of keyframes", "variance unexplained", "error (typical ways)"]
    table = markdown_table(
        header, [[str(found.kinds), f"{found.unexplained:.2f}", f"{found.rmse:.2f}"]]
    )
    return f"{table}\n\nFrom {found.steps} steps of the data, where it is near."


def _cloning_lines(judgement: Judgement) -> str:
    cloning = judgement.cloning
    assert cloning is not None
    rows = [
        ["z from features", f"{cloning.latent.unexplained:.2f}"],
        ["actions from features", f"{cloning.action.unexplained:.2f}"],
    ]
    if cloning.privileged is not None:
        rows.append(["z from state (control)", f"{cloning.privileged.unexplained:.2f}"])
    table = markdown_table(["clone", "variance unexplained"], rows)
    expert = judgement.expert
    told = f"; the expert itself: {expert['value']:.2f}" if expert else ""
    return f"{table}\n\nLearned from {cloning.steps} steps of successful episodes{told}."


def _probe_table(probe: Probe) -> str:
    def cells(values: Sequence[float]) -> str:
        return " / ".join(f"{value:.1f}" for value in values)

    rows = [[row.name, cells(row.spread), cells(row.ridge), cells(row.mlp)] for row in probe.rows]
    return markdown_table(["thing", "spread", "linear", "MLP"], rows)
