"""Limited sight: what is left of observations for a prior that looks at some of them only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parrot_wrapper.errors import DataError, require_known
from parrot_wrapper.image_layout import is_images
from parrot_wrapper.types import KEYS_FACT, SEES_FACT, AnyArray


def limited(
    observations: Mapping[str, AnyArray], metadata: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Some of the observations, by the parts that priors know, and metadata that say which.

    Images keep their names. Vectors are joined in the order of `names`: beside an image they are
    "proprio", alone "state". Of no names, observations stay as they are: not to be looked at.

    Raises:
        UnknownNameError: There is no such observation; the nearest is named.
        DataError: One is neither an image nor vectors.
    """
    require_known("observation of the data", names, observations)
    facts = {**metadata, SEES_FACT: list(names)}
    if not names:
        return dict(observations), facts
    chosen = {name: observations[name] for name in names}
    seen = {name: part for name, part in chosen.items() if is_images(name, part)}
    vectors = {name: part for name, part in chosen.items() if name not in seen}
    strange = [name for name, part in vectors.items() if part.ndim != 2 or part.dtype == np.uint8]
    if strange:
        raise DataError(f"Expected images or vectors to look at, {', '.join(strange)} are neither.")
    if vectors:
        part = "proprio" if seen else "state"
        seen[part] = np.concatenate(list(vectors.values()), axis=1)
        told = metadata.get(KEYS_FACT, {})
        keys = [key for name in vectors for key in told.get(name, [name])]
        facts[KEYS_FACT] = {**told, part: keys}
    return seen, facts
