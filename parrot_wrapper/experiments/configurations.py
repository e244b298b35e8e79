"""What the settings of a study's methods share and in what they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parrot_wrapper.experiments.study import Study
from parrot_wrapper.experiments.tables import Table

_OF_THE_RUN = ("env_id", "seed", "device")
"""Settings that tell the runs of one method apart; they stand elsewhere in the report."""
_SHOWN = 3
_UNSET = "-"


def differences(study: Study) -> Table:
    """Settings that are not the same in all runs, a column for each variant."""
    values = _values(study)
    names = [name for name, found in values.items() if len({v for v in found if v}) > 1]
    rows = tuple((name, *(_told(texts) for texts in values[name])) for name in names)
    header = ("setting", *(variant.name for variant in study.variants))
    return Table(header, rows, texts=len(header))


def common(study: Study) -> Table:
    """Settings that all runs share."""
    values = _values(study)
    same = {name: {v for v in found if v} for name, found in values.items()}
    rows = tuple((name, _told(next(iter(v)))) for name, v in same.items() if len(v) == 1)
    return Table(("setting", "value"), rows, texts=2)


def versions(study: Study) -> Table:
    """Versions of packages, several where runs had different ones."""
    found: dict[str, list[str]] = {}
    for row in study.rows:
        for package, version in row.versions.items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    rows = tuple((package, ", ".join(found[package])) for package in sorted(found))
    return Table(("package", "version"), rows, texts=2)


def machines(study: Study) -> list[str]:
    """The machines that runs were made on, as text."""
    kinds = dict.fromkeys(tuple(sorted(row.machine.items())) for row in study.rows)
    return [", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in kind) for kind in kinds]


def _values(study: Study) -> dict[str, list[tuple[str, ...]]]:
    """Setting to the texts of its values, for each variant; empty where a variant has no config."""
    configs = [[_flat(row.config) for row in study.of(variant)] for variant in study.variants]
    names = dict.fromkeys(key for runs in configs for config in runs for key in config)
    return {
        name: [
            tuple(sorted({config.get(name, _UNSET) for config in runs if config}))
            for runs in configs
        ]
        for name in names
    }


def _flat(config: Mapping[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in config.items():
        if key not in _OF_THE_RUN:
            texts[key] = value if isinstance(value, str) else json.dumps(value)
    return texts


def _told(texts: tuple[str, ...]) -> str:
    """The values of a setting; of many the first few."""
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or _UNSET
