"""A flow on features of another prior's encoder, on data whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from parrot_wrapper.baselines.feature_cache import FeatureCache
from parrot_wrapper.baselines.flow_head import fit_flow_head
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors import FlowPrior
from tests.baselines.test_methods import FIT
from tests.baselines.toy_data import state_data, state_encoder


def test_a_flow_learns_on_the_features_of_another():
    shared = state_encoder()
    data = FeatureCache(None, shared).make(state_data(episodes=300), progress=False)
    prior = FlowPrior(replace(shared.config, hidden=64), seed=1)
    prior.encoder.load_state_dict(shared.encoder.state_dict())
    report = fit_flow_head(prior, data, replace(FIT, steps=800), progress=False)
    assert report.validation["nll"] < 0.5  # that of a normal of the data's spread is about 3.5
    state = np.random.default_rng(1).standard_normal((500, 3)).astype(np.float32)
    np.testing.assert_array_equal(prior.features(state), shared.features(state))
    z = np.random.default_rng(2).standard_normal((500, 2)).astype(np.float32)
    action = prior.decode(z, state)
    assert np.median(np.abs(action[:, 0] - 2 * np.sin(state[:, 0]))) < 0.2
    assert 0.3 < (action[:, 1] > 0).mean() < 0.7
    np.testing.assert_allclose(prior.encode(action, state), z, atol=1e-3)


def test_a_penalty_takes_the_steepness_between_two_modes():
    shared = state_encoder()
    data = FeatureCache(None, shared).make(state_data(episodes=300), progress=False)

    def steepest(jacobian: float) -> float:
        prior = FlowPrior(replace(shared.config, hidden=64), seed=1)
        prior.encoder.load_state_dict(shared.encoder.state_dict())
        fit = replace(FIT, steps=400, jacobian=jacobian)
        report = fit_flow_head(prior, data, fit, progress=False)
        assert set(report.validation) == ({"nll", "jacobian"} if jacobian else {"nll"})
        z = np.tile(np.linspace(-2, 2, 401, dtype=np.float32)[:, None], (1, 2))
        action = prior.decode(z, np.zeros((len(z), 3), np.float32))
        return float(np.abs(np.diff(action[:, 1])).max())

    assert steepest(0.3) < 0.7 * steepest(0.0)


def test_it_wants_features():
    with pytest.raises(DataError, match="fit_prior learns from those"):
        fit_flow_head(state_encoder(), state_data(), FIT, progress=False)
