"""Studies as Markdown: their findings and main tables."""

from __future__ import annotations

from collections.abc import Sequence

from parrot_wrapper.experiments.judged_priors import judged_table, ranking_table
from parrot_wrapper.experiments.study import Study, compares_data
from parrot_wrapper.experiments.tables import (
    cautions,
    exploration_table,
    findings,
    method_table,
    mismatch_table,
    task_table,
    title,
)


def report_markdown(studies: Sequence[Study]) -> str:
    """The findings and main tables of some studies."""
    return "\n\n".join(part for study in studies for part in _parts(study)) + "\n"


def _parts(study: Study) -> list[str]:
    parts = [f"## {title(study)}", "\n".join(findings(study))]
    notes = cautions(study)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    if study.explores:
        return [*parts, exploration_table(study).markdown()]
    if compares_data(study):
        parts.append(mismatch_table(study).markdown())
    else:
        parts.append(method_table(study).markdown())
    if study.judges:
        parts.append(judged_table(study).markdown())
        ranking = ranking_table(study)
        parts += [ranking.markdown()] if ranking else []
    return [*parts, task_table(study).markdown()]
