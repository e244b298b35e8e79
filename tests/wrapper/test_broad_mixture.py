"""The defensive mixture: what it samples, what it says of its density, and its round trips."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.errors import InvalidArgumentError, ParrotError, SpaceMismatchError
from parrot_wrapper.priors.mixtures.broad import BroadConfig, BroadMixture
from parrot_wrapper.priors.mixtures.settings import read_former, read_mixture
from parrot_wrapper.rl.train import read_config
from parrot_wrapper.types import ActionPrior, ObservationSpec
from tests.helpers import AffinePrior, EchoEnv
from tests.training.toy_rl import toy_config, toy_train

STATE = ObservationSpec(state=4)
ROWS = 20_000


def noise(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def test_it_is_a_prior_with_one_more_latent() -> None:
    prior = AffinePrior(STATE)
    mixture = BroadMixture(prior)
    assert isinstance(mixture, ActionPrior)
    assert mixture.latent_dim == prior.latent_dim + 1
    assert mixture.feature_dim == prior.feature_dim
    env = BehavioralPriorWrapper(EchoEnv("state"), mixture)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.full(mixture.latent_dim, 0.999, np.float32))
    low, high = prior.action_bounds
    middle, half = (low + high) / 2, (high - low) / 2
    np.testing.assert_allclose(info["parrot/action"], middle + 0.999 * half, rtol=1e-4)


def test_samples_follow_its_density() -> None:
    """Shares of samples in cells agree with the integral of exp(log_prob) over the cells."""
    prior = AffinePrior(STATE)
    mixture = BroadMixture(prior, share=0.3, spread=[1.0, 0.5])
    obs = np.zeros((ROWS, 4), np.float32)
    action = mixture.decode(noise(ROWS, mixture.latent_dim), obs)
    low, high = prior.action_bounds
    inside = ((action > low) & (action < high)).all(axis=1)
    points = np.random.default_rng(1).uniform(low, high, (ROWS, 2)).astype(np.float32)
    density = np.exp(mixture.log_prob(points, obs).astype(np.float64))
    volume = float(np.prod(high - low))
    assert density.mean() * volume == pytest.approx(inside.mean(), abs=0.03)
    right = points[:, 0] > (low[0] + high[0]) / 2
    assert density[right].sum() / ROWS * volume == pytest.approx(
        (inside & (action[:, 0] > (low[0] + high[0]) / 2)).mean(), abs=0.03
    )


def test_encode_inverts_decode_up_to_the_deciding_latent() -> None:
    mixture = BroadMixture(AffinePrior(STATE), share=0.4)
    obs = np.zeros((500, 4), np.float32)
    action = mixture.decode(noise(500, mixture.latent_dim), obs)
    np.testing.assert_allclose(mixture.decode(mixture.encode(action, obs), obs), action, atol=1e-3)


def test_where_the_prior_rests_the_agent_is_free() -> None:
    prior = AffinePrior(STATE)
    mixture = BroadMixture(prior, share=0.8, idle=0.5, motion=[0])
    obs = np.random.default_rng(2).uniform(-1, 1, (400, 4)).astype(np.float32)
    features = mixture.features(obs)
    median = prior.decode_features(np.zeros((400, prior.latent_dim), np.float32), features)
    low, high = prior.action_bounds
    moved = np.abs((median - (low + high) / 2) / ((high - low) / 2))[:, 0]
    share = mixture.share(features)
    np.testing.assert_allclose(share, 0.8 * np.exp(-((moved / 0.5) ** 2)), rtol=1e-5)
    assert share[moved.argmin()] > share[moved.argmax()]
    switch = norm.ppf(1 - share)  # just below and just above it
    z = np.zeros((400, mixture.latent_dim), np.float32)
    z[:, -1] = switch - 1e-3
    np.testing.assert_array_equal(mixture.decode_features(z, features), median)
    z[:, -1] = switch + 1e-3
    broad = np.broadcast_to((low + high) / 2, median.shape)
    np.testing.assert_allclose(mixture.decode_features(z, features), broad, atol=1e-6)


def test_it_is_made_from_json_and_from_what_runs_had_before() -> None:
    prior = AffinePrior(STATE)
    settings = {"share": 0.8, "idle": 0.12, "motion": [0, 1], "spread": [1.0, 0.1]}
    config = BroadConfig(**settings)
    assert read_mixture({"kind": "broad", **settings}) == config
    assert read_former("broad", "0.8 idle=0.12 motion=0,1 spread=1,0.1") == config
    assert read_former("broad", 0.2) == read_former("broad", "0.2") == BroadConfig(share=0.2)
    assert read_former("broad", None) is read_former("broad", 0.0) is None
    obs, z = np.ones((9, 4), np.float32), noise(9, 3)
    made, same = config.around(prior), BroadMixture(prior, **settings)
    np.testing.assert_array_equal(made.decode(z, obs), same.decode(z, obs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 1.0}, r"share must be in \(0, 1\)"),
        ({"motion": [2]}, "dimensions from 0 to 1"),
        ({"motion": []}, "dimensions from 0 to 1"),
        ({"idle": 0.0}, "idle must be positive"),
        ({"spread": 2}, r"spread must be in \(0, 1\]"),
        ({"shar": 0.1}, "Did you mean 'share'"),
        ({"kind": "braod"}, "Did you mean 'broad'"),
    ],
)
def test_what_is_no_mixture_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ParrotError, match=message):
        read_mixture({"kind": "broad", **settings}).around(AffinePrior(STATE))
    with pytest.raises(InvalidArgumentError, match="a share such as"):
        read_former("broad", "a lot")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpaceMismatchError, match="one number or 2"):
        BroadMixture(AffinePrior(STATE), spread=[1.0, 1.0, 1.0])
    with pytest.raises(InvalidArgumentError, match="horizon 1, got one of 3"):
        BroadMixture(AffinePrior(STATE, horizon=3))


def test_a_run_acts_through_the_mixture(tmp_path: Path) -> None:
    config = toy_config(mixtures=[BroadConfig(share=0.2)], total_steps=60)
    model = toy_train(config, tmp_path)
    assert model.action_space.shape == (3,)
    assert read_config(tmp_path) == config
    with pytest.raises(InvalidArgumentError, match="needs a prior to act through"):
        replace(config, raw_actions=True)
