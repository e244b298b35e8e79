"""The error of the next keyframe tells features that see from features that do not."""

from types import SimpleNamespace

import numpy as np
import pytest

from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.keyframes import measure_keyframes
from parrot_wrapper.evaluation.regression import FitSettings
from parrot_wrapper.types import ObservationSpec
from tests.priors.moving_point import point_data

DATA = point_data(episodes=300)
QUICK = FitSettings(hidden=64, epochs=60)


def measured(features, spec: ObservationSpec | None = None, **options):
    """Of a prior with these features of its images."""
    side = DATA.observations["image"].shape[1:]
    spec = ObservationSpec(image=side) if spec is None else spec
    prior = SimpleNamespace(observation_spec=spec, metadata={}, features=features)
    rng = np.random.default_rng(0)
    return measure_keyframes(prior, DATA, steps=7_000, rng=rng, settings=QUICK, **options)


def coarse(image: np.ndarray) -> np.ndarray:
    cells = image.reshape(len(image), 8, image.shape[1] // 8, 8, image.shape[2] // 8, -1)
    return np.float32(cells.mean(axis=(2, 4)).reshape(len(image), -1) / 255.0)


def test_eyes_err_less_than_the_blind() -> None:
    seeing = measured(coarse)
    blind = measured(lambda image: np.random.default_rng(0).random((len(image), 8), np.float32))
    assert seeing.unexplained < 0.8 < 0.9 < blind.unexplained
    assert seeing.rmse < blind.rmse and seeing.kinds == blind.kinds >= 1
    assert 0 < seeing.steps <= 7_000 and seeing.to_dict()["steps"] == seeing.steps


def test_without_sight_it_says_so() -> None:
    with pytest.raises(DataError, match="sees none"):
        measured(coarse, ObservationSpec(state=3))
