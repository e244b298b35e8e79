"""Error of the next keyframe: do features tell where the demonstrator will do something?

It needs demonstrations alone, no env, expert or label, and serves any prior with features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.regression import FitSettings, fit_mlp, held_out_rows
from parrot_wrapper.priors.encoders.cues import find_cues, hindsight_labels
from parrot_wrapper.types import ActionPrior

if TYPE_CHECKING:
    from parrot_wrapper.data.dataset import EpisodeDataset

_FEW = 100
_NEAR = 1.0
"""In typical ways. From further off it is open which of several things is meant."""


@dataclass(frozen=True)
class KeyframeError:
    """How well an MLP tells the way to a near keyframe from the features, in held-out episodes.

    Attributes:
        unexplained: Share of the ways' variance, over kinds of keyframes and dimensions, that it
            does not explain.
        rmse: Root mean squared length of its errors, in multiples of a typical way.
        kinds: Kinds of keyframes that were seen often enough.
        steps: Steps that it was fitted and measured on.
    """

    unexplained: float
    rmse: float
    kinds: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return asdict(self)


def measure_keyframes(
    prior: ActionPrior,
    dataset: EpisodeDataset,
    *,
    steps: int,
    rng: np.random.Generator,
    settings: FitSettings | None = None,
) -> KeyframeError:
    """Regress the ways to the next keyframes on the features of random episodes.

    Args:
        prior: The prior whose features are judged.
        dataset: Demonstrations with what it looks at, an image among it.
        steps: Of the data that are used, at most, of whole episodes.
        rng: Chooses the episodes.
        settings: How the MLP is fitted.
    """
    images = list(prior.observation_spec.images)
    if not images:
        raise DataError("Keyframes are looked for in images, and the prior sees none.")
    data = dataset.seen_by(prior)
    order = rng.permutation(data.n_episodes)
    data = data.subset(order[: max(2, int((np.cumsum(data.lengths[order]) <= steps).sum()))])
    cues = find_cues(data, images[0])
    if not cues.tracks:
        raise DataError("No action's effect is seen in the images, so no way to a keyframe is.")
    rows = data.observation_rows()
    labels = {name: values[rows] for name, values in hindsight_labels(data, cues).items()}
    owners = np.repeat(np.arange(data.n_episodes), data.lengths)
    features = prior.features(data.observed(list(prior.observation_spec.parts), rows))
    fits = []
    for kind in range(cues.kinds):
        near = np.linalg.norm(labels["hindsight_way"][:, kind], axis=1) < _NEAR
        there = near & (labels["hindsight_there"][:, kind] > 0)
        if there.sum() >= _FEW:
            ways, held_out = labels["hindsight_way"][there, kind], held_out_rows(owners[there])
            fits.append(fit_mlp(features[there], ways, held_out, settings))
    if not fits:
        raise DataError(f"Expected a kind of keyframe ahead in {_FEW} steps or more, got none.")
    missed = np.square([fit.rmse for fit in fits]).sum()
    return KeyframeError(
        unexplained=float(missed / np.square([fit.spread for fit in fits]).sum()),
        rmse=float(np.sqrt(missed / len(fits))),
        kinds=len(fits),
        steps=len(rows),
    )
