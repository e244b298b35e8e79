"""What a trained artifact remembers of its data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import UnreadDataWarning
from parrot_wrapper.types import IMPORTED_KEYS_FACT, KEYS_FACT, PARTS, ObservationSpec

_SETTINGS = ("env_id", "env_kwargs", "camera", "noise", "stray_steps", "base_seed")


def data_facts(dataset: EpisodeDataset) -> dict[str, Any]:
    """How the data were made, as far as they tell, and their hash and size; JSON-able."""
    made: Mapping[str, Any] = dataset.metadata.get("settings", {})
    return {
        **{key: made[key] for key in _SETTINGS if made.get(key) is not None},
        **keys_fact(dataset),
        "data": {
            "sha256": dataset.content_hash,
            "episodes": dataset.n_episodes,
            "steps": dataset.n_steps,
        },
    }


def keys_fact(dataset: EpisodeDataset) -> dict[str, Any]:
    """Which keys of the env's observations the data are made of, where they tell."""
    told = {KEYS_FACT: dataset.metadata.get(KEYS_FACT)}
    imported = dataset.metadata.get("import")
    if isinstance(imported, Mapping):
        taken = imported.get("taken", {})
        told[IMPORTED_KEYS_FACT] = {part: taken[part] for part in PARTS if taken.get(part)}
    return {fact: keys for fact, keys in told.items() if keys}


def warn_of_unread(dataset: EpisodeDataset, spec: ObservationSpec) -> None:
    """Say which observations of the data a prior or an actor that looks at `spec` leaves aside.

    Warns:
        UnreadDataWarning: There are some.
    """
    unread = [
        f"{name} {part.shape[1:]}"
        for name, part in dataset.observations.items()
        if 0 not in part.shape[1:] and not (name in PARTS and getattr(spec, name))
    ]
    if unread:
        warnings.warn(
            f"Not looked at in the data: {', '.join(unread)}. What a prior can look at is called "
            f"{', '.join(PARTS)}.",
            UnreadDataWarning,
            stacklevel=4,
        )
