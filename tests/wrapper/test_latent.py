"""Charts, and the identity that makes SAC's entropy a distance to the prior."""

import math
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.latent import (
    BallChart,
    BoxChart,
    GaussianChart,
    TemperedChart,
    TruncatedChart,
    kl_to_prior,
    parse_chart,
    target_entropy,
)
from parrot_wrapper.latent.charts import EDGE
from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper
from tests.helpers import AffinePrior, EchoEnv

CHARTS = [GaussianChart(), BoxChart(2.0), TruncatedChart(0.05), TemperedChart(0.8)]
EVERY_CHART = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.spec)


@EVERY_CHART
def test_spec_makes_an_equal_chart(chart):
    assert parse_chart(chart.spec) == chart
    assert parse_chart(chart) is chart


@EVERY_CHART
@given(u=st.floats(-0.9999, 0.9999))
def test_there_and_back(chart, u):
    assert chart.to_unit(chart.to_latent([u]))[0] == pytest.approx(u, abs=1e-6)


@EVERY_CHART
def test_ends_are_finite_symmetric_and_float32(chart):
    ends = np.array([-1.0, -EDGE, EDGE, 1.0], np.float32)
    z = chart.to_latent(ends)
    assert z.dtype == np.float32 and np.isfinite(z).all()
    np.testing.assert_array_equal(z, -z[::-1])
    assert z[-1] == pytest.approx(chart.bound)
    u = chart.to_unit(np.array([-np.inf, -100.0, 0.0, 100.0, np.inf]))
    assert u.dtype == np.float32
    np.testing.assert_array_equal(u, np.array([-EDGE, -EDGE, 0.0, EDGE, EDGE], np.float32))


@EVERY_CHART
def test_is_increasing(chart):
    assert (np.diff(chart.to_latent(np.linspace(-1, 1, 1001))) > 0).all()


def test_known_values():
    assert GaussianChart().bound == pytest.approx(5.42, abs=0.005)
    assert BoxChart(2.0).bound == pytest.approx(2.0)
    assert TruncatedChart(0.05).bound == pytest.approx(1.645, abs=1e-3)
    assert TemperedChart(0.5).bound == pytest.approx(2.71, abs=0.005)
    np.testing.assert_allclose(TemperedChart(0.5).to_latent([0.6826895]), [0.5], rtol=1e-6)
    # Mass and divergence as the literature's boxes have them.
    assert BoxChart(1.0).prior_mass(7) == pytest.approx(0.069, abs=5e-4)
    assert BoxChart(1.0).kl_uniform_to_prior == pytest.approx(0.3925, abs=5e-4)
    assert BoxChart(2.0).kl_uniform_to_prior == pytest.approx(0.199, abs=5e-4)
    assert TruncatedChart(0.05).prior_mass(7) == pytest.approx(0.48, abs=5e-3)
    assert TruncatedChart(0.05).kl_uniform_to_prior == pytest.approx(0.105, abs=5e-4)
    assert GaussianChart().prior_mass(28) == 1.0
    assert GaussianChart().kl_uniform_to_prior == 0.0


@EVERY_CHART
def test_divergence_of_uniform_u_agrees_with_numbers(chart):
    u = (np.arange(200_000) + 0.5) / 100_000 - 1.0
    z = np.asarray(chart.to_latent(u), np.float64)
    density = 1.0 / (2.0 * np.gradient(z, u))
    kl = np.mean(np.log(density) + 0.5 * z**2 + 0.5 * np.log(2 * np.pi))
    assert kl == pytest.approx(chart.kl_uniform_to_prior, abs=2e-3)


@pytest.mark.parametrize("mass", [0.05, 0.9, 0.999])
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_a_ball_keeps_its_share_of_the_prior_and_no_more(mass, dim):
    chart = parse_chart(f"ball:{mass}")
    assert chart == parse_chart(chart.spec) and chart.prior_mass(dim) == mass
    rng = np.random.default_rng(0)
    u = rng.uniform(-1, 1, (40_000, dim))
    z = chart.to_latent(u)
    length = np.linalg.norm(z, axis=1)
    assert length.max() <= chart.radius(dim)
    np.testing.assert_allclose(chart.to_unit(z), u, atol=1e-3)  # float32, near the edge
    # the lengths are those of the part of N(0, I) that is inside
    normal = np.linalg.norm(rng.standard_normal((200_000, dim)), axis=1)
    inside = normal <= chart.radius(dim)
    assert inside.mean() == pytest.approx(mass, abs=0.005)
    points = np.linspace(0.1, 0.9, 9)
    expected = np.quantile(normal[inside], points)
    np.testing.assert_allclose(np.quantile(length, points), expected, atol=0.03)
    # its directions are uniform, and what lies outside lands on its edge
    assert np.abs((z / length[:, None]).mean(axis=0)).max() < 0.03
    out = 9.0 * np.eye(dim)[:1]
    edge = chart.to_latent(chart.to_unit(out))
    assert chart.radius(dim) * 0.99 < np.linalg.norm(edge) <= chart.radius(dim)
    for corner in (np.ones((1, dim)), -np.ones((1, dim)), np.zeros((1, dim))):
        assert np.isfinite(chart.to_latent(corner)).all()
    assert np.allclose(chart.to_latent(np.zeros((1, dim))), 0.0)


@pytest.mark.parametrize("chart", [*CHARTS, BallChart(0.9), BallChart(0.2)], ids=lambda c: c.spec)
@pytest.mark.parametrize("dim", [1, 3])
def test_gradients_are_those_of_differences(chart, dim):
    rng = np.random.default_rng(0)
    u, by_noise = rng.uniform(-0.9, 0.9, (5, dim)), rng.normal(size=(5, dim))
    step = 1e-6 * np.eye(dim)[:, None]
    moved = (chart._stretch(u + step) - chart._stretch(u - step)) / 2e-6  # (dim, 5, dim)
    expected = (moved * by_noise).sum(axis=2).T
    np.testing.assert_allclose(chart.gradient(u, by_noise), expected, rtol=1e-4, atol=1e-5)
    diagonal = np.stack([moved[i, :, i] for i in range(dim)], axis=1)
    np.testing.assert_allclose(chart.slope(u), diagonal, rtol=1e-4, atol=1e-5)
    assert np.isfinite(chart.gradient(np.zeros((1, dim)), np.ones((1, dim)))).all()


@pytest.mark.parametrize("mass", [0.0, 1.0, -0.5, math.nan, True, "0.5"])
def test_a_ball_with_nothing_or_all_in_it_is_refused(mass):
    with pytest.raises(InvalidArgumentError, match="between 0 and 1"):
        BallChart(mass)


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_sac_in_u_on_a_limited_prior_has_the_objective_of_behaviour_priors(temperature):
    """With prior N(0, 1) that sees no goal g = +-1, and value g a, all of it has a closed form.

    The best policy is N(g / temperature, 1), E r - temperature KL = 1 / (2 temperature), and the KL
    is no less than the information between goal and action (Tirumala et al. 2022, section 3).
    """
    prior = AffinePrior(action_dim=1, scale=1.0)
    env = BehavioralPriorWrapper(EchoEnv(action_dim=1), prior)
    chart = env.chart
    edges = np.linspace(-1.0, 1.0, 400_001)
    u, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    action = np.float64(prior.scale) * np.asarray(chart.to_latent(u[:, None])[:, 0], np.float64)
    marginal, information = 0.0, 0.0
    for goal in (-1.0, 1.0):
        weights = np.exp(goal * action / temperature)
        policy = weights / (weights.sum() * width)  # what maximum entropy in u finds, over u
        entropy = -np.sum(policy * np.log(policy)) * width
        kl = kl_to_prior(entropy, 1)
        assert kl == pytest.approx(0.5 / temperature**2, rel=2e-3)
        value = np.sum(policy * goal * action) * width
        assert value - temperature * kl == pytest.approx(0.5 / temperature, rel=2e-3)
        in_u = value + temperature * (entropy - math.log(2.0))
        assert in_u == pytest.approx(value - temperature * kl)
        marginal = marginal + 0.5 * policy
    for goal in (-1.0, 1.0):
        weights = np.exp(goal * action / temperature)
        policy = weights / (weights.sum() * width)
        information += 0.5 * np.sum(policy * np.log(policy / marginal)) * width
    assert 0.3 < information <= math.log(2.0) + 1e-6
    assert information <= 0.5 / temperature**2
    # the gap is what a prior that was refitted to the policies would save
    refitted = 0.5 / temperature**2 - np.sum(marginal * np.log(2.0 * marginal)) * width
    assert information == pytest.approx(refitted, abs=5e-3)


def test_uniform_u_is_the_prior():
    z = GaussianChart().to_latent(np.random.default_rng(0).uniform(-1, 1, 100_000))
    assert abs(z.mean()) < 0.01 and z.std() == pytest.approx(1.0, abs=0.01)
    ranks = ndtr(np.sort(z))
    assert np.abs(ranks - np.linspace(0, 1, len(z))).max() < 0.006  # Kolmogorov-Smirnov


def test_a_chart_of_ones_own_is_one_class():
    @dataclass(frozen=True)
    class CubicChart(BoxChart):
        """z = b u^3, which stays near the middle of the prior."""

        name = "cubic"

        def _stretch(self, u):
            return self.half_width * u**3

        def _shrink(self, z):
            return np.cbrt(z / self.half_width)

    chart = parse_chart("cubic:2")
    assert parse_chart(chart.spec) == chart == CubicChart(2.0)
    u = np.linspace(-0.9, 0.9, 7)
    np.testing.assert_allclose(chart.to_unit(chart.to_latent(u)), u, atol=1e-6)
    wrapped = BehavioralPriorWrapper(EchoEnv(), AffinePrior(), latent="cubic:2")
    wrapped.reset(seed=0)
    *_, info = wrapped.step(np.full(wrapped.action_space.shape, 0.5, np.float32))
    assert info["parrot/latent"] == pytest.approx(0.25)


def test_target_entropy_and_kl_are_inverse():
    space = gym.spaces.Box(-1, 1, (7,))
    target = target_entropy(space, kl=5.0)
    assert isinstance(target, float)
    assert target == pytest.approx(7 * math.log(2) - 5) == target_entropy(7, kl=5.0)
    assert kl_to_prior(target, space) == pytest.approx(5.0)
    assert kl_to_prior(-7.0, np.int64(7)) == pytest.approx(11.85, abs=0.01)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 0.874), (0.7, 0.4), (-1.5, 0.6)])
def test_entropy_in_u_is_divergence_from_the_prior(mean, std):
    """KL of a tanh-Gaussian policy and the prior, binned in *action* space, against the identity.

    The bins of the action are taken to u by the wrapper's own `encode`, so a wrong chart, a wrong
    inverse or a wrong constant shows.
    """
    env = BehavioralPriorWrapper(EchoEnv(action_dim=1), AffinePrior(action_dim=1, scale=0.05))
    env.reset(seed=0)
    shift = env.prior.shift(env.prior.features(env._driver._seen))[0, 0]
    z = np.linspace(-4.8, 4.8, 1200)
    u = np.array([env.encode([shift + 0.05 * k])[0] for k in z], np.float64)

    policy = np.diff(ndtr((np.arctanh(u) - mean) / std))
    prior = np.diff(ndtr(z))
    kl_in_actions = np.sum(policy * np.log(np.maximum(policy, 1e-300) / prior))

    rng = np.random.default_rng(0)
    x = rng.normal(mean, std, 400_000)
    log_policy = (
        -0.5 * ((x - mean) / std) ** 2
        - np.log(std * np.sqrt(2 * np.pi))
        - 2.0 * (np.log(2.0) - x - np.logaddexp(0.0, -2.0 * x))
    )
    assert kl_to_prior(-log_policy.mean(), env.action_space) == pytest.approx(
        kl_in_actions, abs=5e-3
    )


def test_an_untrained_sac_actor_starts_at_the_prior():
    x = np.linspace(-8, 8, 200_001)
    normal = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    log_policy = np.log(normal) - 2.0 * (np.log(2.0) - x - np.logaddexp(0.0, -2.0 * x))
    entropy = -np.sum(normal * log_policy) * (x[1] - x[0])
    assert kl_to_prior(entropy, 1) == pytest.approx(0.0233, abs=5e-4)
