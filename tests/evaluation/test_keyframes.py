"""The error of the next keyframe tells features that see from features that do not."""

from types import SimpleNamespace

import numpy as np
import pytest

from parrot_wrapper.errors import DataError
from parrot_wrapper.evaluation.regression import FitSettings, measure_keyframes
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


WHERE = {
    image.tobytes(): np.concatenate((place, goal))
    for image, place, goal in zip(
        DATA.observations["image"], DATA.labels["place"], DATA.labels["goal"], strict=True
    )
}


def seeing(image: np.ndarray) -> np.ndarray:
    """Where the point and its marks are."""
    return np.stack([WHERE[one.tobytes()] for one in image]).astype(np.float32)


def blind(image: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).random((len(image), 8), np.float32)


def test_eyes_err_less_than_the_blind() -> None:
    good, bad = measured(seeing), measured(blind)
    assert good.unexplained < 0.5 < 0.9 < bad.unexplained
    assert good.rmse < bad.rmse and good.kinds == bad.kinds >= 1
    assert 0 < good.steps <= 7_000 and good.to_dict()["steps"] == good.steps


def test_without_sight_it_says_so() -> None:
    with pytest.raises(DataError, match="sees none"):
        measured(seeing, ObservationSpec(state=3))
