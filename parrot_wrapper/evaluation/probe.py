"""The probe: do a prior's features know where things are?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from parrot_wrapper.evaluation.likelihood import embed
from parrot_wrapper.evaluation.recordings import Recording
from parrot_wrapper.evaluation.regression import (
    FitSettings,
    Regression,
    fit_mlp,
    fit_ridge,
    held_out_rows,
)
from parrot_wrapper.evaluation.simulator_state import HAND, LANDMARKS
from parrot_wrapper.types import ActionPrior, FloatArray

_CENTIMETRES = 100.0


@dataclass(frozen=True)
class ProbeRow:
    """Errors on one thing's x, y and z, in centimetres, on held-out episodes.

    Attributes:
        name: "landmark 0" and so on in the env's order, or that of the label `HAND`.
        spread: Standard deviations: the error of guessing the mean.
        ridge: Root mean squared errors of a linear regression.
        mlp: The same of a small MLP.
    """

    name: str
    spread: tuple[float, ...]
    ridge: tuple[float, ...]
    mlp: tuple[float, ...]


@dataclass(frozen=True)
class Probe:
    """Regression from features to positions.

    Attributes:
        rows: One for each landmark, and the hand.
        steps: Images that it was fitted and judged on.
    """

    rows: tuple[ProbeRow, ...]
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy, errors by name."""
        return {"steps": self.steps, "rows": [asdict(row) for row in self.rows]}


def probe_features(
    prior: ActionPrior, recording: Recording, *, settings: FitSettings | None = None
) -> Probe | None:
    """Fit both regressions on four fifths of the episodes and judge them on the rest.

    Args:
        prior: The prior whose features are probed.
        recording: With the labels `LANDMARKS` (N, L, 3) and `HAND` (N, 3 or more) in metres.
        settings: How the MLP is fitted.

    Returns:
        The errors, or None where the recording has no such labels.
    """
    targets = _targets(recording)
    if not targets:
        return None
    names, columns = list(targets), np.concatenate(list(targets.values()), axis=1)
    features, held_out = embed(prior, recording), held_out_rows(recording.episodes)
    ridge = fit_ridge(features, columns, held_out)
    mlp = fit_mlp(features, columns, held_out, settings)
    rows = [_row(name, index, ridge, mlp) for index, name in enumerate(names)]
    return Probe(tuple(rows), len(recording))


def _targets(recording: Recording) -> dict[str, FloatArray]:
    targets: dict[str, FloatArray] = {}
    landmarks = recording.labels.get(LANDMARKS)
    if landmarks is not None:
        for index in range(landmarks.shape[1]):
            targets[f"landmark {index}"] = landmarks[:, index, :3]
    if HAND in recording.labels:
        targets[HAND] = recording.labels[HAND][:, :3]
    return targets


def _row(name: str, index: int, ridge: Regression, mlp: Regression) -> ProbeRow:
    columns = slice(3 * index, 3 * index + 3)

    def centimetres(values: FloatArray) -> tuple[float, ...]:
        return tuple(round(float(value) * _CENTIMETRES, 3) for value in values[columns])

    return ProbeRow(name, centimetres(ridge.spread), centimetres(ridge.rmse), centimetres(mlp.rmse))
