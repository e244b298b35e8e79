"""Studies as Markdown: findings, cautions and tables."""

from __future__ import annotations

from collections.abc import Sequence

from parrot_wrapper.experiments import tables
from parrot_wrapper.experiments.mismatch import compares_data
from parrot_wrapper.experiments.study import Study
from parrot_wrapper.experiments.summary import cautions, findings, title


def report_markdown(studies: Sequence[Study]) -> str:
    """The findings and main tables of some studies."""
    return "\n\n".join(part for study in studies for part in _parts(study)) + "\n"


def _parts(study: Study) -> list[str]:
    parts = [f"## {title(study)}", "\n".join(findings(study))]
    notes = cautions(study)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    if study.explores:
        return [*parts, tables.exploration_table(study).markdown()]
    if compares_data(study):
        parts.append(tables.mismatch_table(study).markdown())
    else:
        parts.append(tables.method_table(study).markdown())
    return [*parts, tables.task_table(study).markdown()]
