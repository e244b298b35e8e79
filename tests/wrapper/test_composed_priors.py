"""Two priors as one: what their mixture and their product sample, say and cost."""

import numpy as np
import pytest

from parrot_wrapper import FlowPrior, FlowPriorConfig
from parrot_wrapper.errors import InvalidArgumentError, ParrotError, SpaceMismatchError
from parrot_wrapper.priors.mixtures.broad import BroadMixture
from parrot_wrapper.priors.mixtures.composed import OtherMixture, ProductMixture
from parrot_wrapper.priors.mixtures.reweighted import LikelyMixture, lattice
from parrot_wrapper.priors.mixtures.settings import read_mixture
from parrot_wrapper.types import FloatArray, ObservationSpec
from tests.helpers import AffinePrior, RememberingPrior

STATE = ObservationSpec(state=4)
ROWS = 40_000
OBS = np.zeros((ROWS, 4), np.float32)


class Gaussian(AffinePrior):
    """N(mean, scale^2) in each dimension."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__(STATE, scale=scale)
        self.mean = np.float32(mean)

    def shift(self, features: FloatArray) -> FloatArray:
        return np.full((len(features), 1), self.mean)

    def log_prob_features(self, action: FloatArray, features: FloatArray) -> FloatArray:
        z = (action - self.mean) / self.scale
        return (-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - np.log(self.scale)).sum(axis=1)


def noise(rows: int, dim: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def test_a_mixture_of_two_has_the_shares_of_both_and_their_density() -> None:
    mixture = OtherMixture(Gaussian(-1.0, 0.1), of=Gaussian(1.0, 0.2), share=0.3)
    action = mixture.decode(noise(ROWS, mixture.latent_dim), OBS)
    right = (action > 0).all(axis=1)
    assert right.mean() == pytest.approx(0.3, abs=0.01)
    assert action[right].std() == pytest.approx(0.2, abs=0.01)
    told = mixture.log_prob(action, OBS).mean()
    entropy = [np.log(scale) + 0.5 * np.log(2 * np.pi * np.e) for scale in (0.1, 0.2)]
    chosen = -0.7 * np.log(0.7) - 0.3 * np.log(0.3)
    assert -told == pytest.approx(chosen + 2 * (0.7 * entropy[0] + 0.3 * entropy[1]), abs=0.02)
    back = mixture.decode(mixture.encode(action, OBS), OBS)
    np.testing.assert_allclose(back, action, atol=1e-5)


def test_a_product_of_gaussians_is_the_one_that_is_known() -> None:
    """Precisions add up by their exponents; with them the mean."""
    product = ProductMixture(Gaussian(0.0, 0.5), of=Gaussian(0.3, 0.25), candidates=128)
    z = noise(ROWS, product.latent_dim)
    action = product.decode(z, OBS)
    precision = 0.5 / 0.5**2 + 0.5 / 0.25**2
    mean = (0.5 * 0.3 / 0.25**2) / precision
    np.testing.assert_allclose(action.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(action.std(axis=0), precision**-0.5, atol=0.02)


def test_the_density_of_a_product_of_few_candidates_is_exact() -> None:
    """It integrates to 1, and shares of samples are its integrals; samples can be made again."""
    product = ProductMixture(Gaussian(0.0, 0.5), of=Gaussian(0.6, 0.3), share=0.7, candidates=4)
    action = product.decode(noise(ROWS, 3), OBS)
    axis = (np.arange(200, dtype=np.float32) - 99.5) / 40.0
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(ROWS, 2)
    density = 25.0 * np.exp(product.log_prob(points, OBS).astype(np.float64))
    assert density.mean() == pytest.approx(1.0, abs=0.03)
    for cut in (0.2, 0.5, 0.8):
        share = (density * (points[:, 0] > cut)).mean()
        assert share == pytest.approx((action[:, 0] > cut).mean(), abs=0.02)
    z = product.encode(action, OBS)
    np.testing.assert_array_equal(z[:, -1], 0.0)
    np.testing.assert_allclose(product.decode(z, OBS), action, atol=1e-5)


def test_a_bound_on_the_likelihood_keeps_the_likeliest_part_and_exactly_its_mass() -> None:
    bound = LikelyMixture(Gaussian(0.0, 0.5), share=0.75, candidates=64)
    assert bound.config.kept == 48
    action = bound.decode(noise(ROWS, 3), OBS)
    far = np.square(action / 0.5).sum(axis=1)
    cut = -2.0 * np.log(1.0 - 0.75)  # of a chi-square with two degrees
    assert np.quantile(far, 0.95) < cut and far.max() < 2.0 * cut
    told = bound.log_prob(action, OBS) - bound.prior.log_prob_features(action, OBS)
    np.testing.assert_allclose(told, np.log(64 / 48), atol=1e-4)
    everything = bound.prior.decode(noise(ROWS, 2, seed=1), OBS)
    kept = np.isfinite(bound.log_prob(everything, OBS))
    assert kept.mean() == pytest.approx(0.75, abs=0.01)
    back = bound.decode(bound.encode(action, OBS), OBS)
    np.testing.assert_allclose(back, action, atol=1e-5)


@pytest.mark.parametrize(("share", "keeps"), [(0.01, 0), (0.99, 20)])
def test_a_bound_that_leaves_nothing_or_everything_is_refused(share: float, keeps: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"which keeps {keeps}"):
        LikelyMixture(Gaussian(0.0, 0.5), share=share)


def test_the_lattice_is_a_group_in_which_each_number_has_each_step() -> None:
    points = lattice(16, 7)
    both = (points[3] + points[5]) % 1.0
    np.testing.assert_allclose(both, points[8])
    assert all(len(np.unique(column)) == 16 for column in points.T)


def test_priors_that_learned_are_composed_by_their_folders(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = FlowPriorConfig(STATE, 2, encoder="state", hidden=8)
    one, two = FlowPrior(config), FlowPrior(config, seed=1)
    two.save(tmp_path / "two")
    obs = noise(50, 4, seed=3)
    for kind, mixture in (("other", OtherMixture), ("product", ProductMixture)):
        read = read_mixture({"kind": kind, "of": str(tmp_path / "two"), "share": 0.3}).around(one)
        same = mixture(one, of=two, share=0.3)
        z = noise(50, same.latent_dim)
        np.testing.assert_array_equal(read.decode(z, obs), same.decode(z, obs))
        wider = BroadMixture(same, share=0.1)  # mixtures of mixtures
        action = wider.decode(noise(50, wider.latent_dim), obs)
        assert np.isfinite(wider.log_prob(action, obs)).all()
        np.testing.assert_allclose(wider.decode(wider.encode(action, obs), obs), action, atol=2e-3)


@pytest.mark.parametrize(
    ("of", "error", "message"),
    [
        (AffinePrior(STATE, horizon=3), InvalidArgumentError, "horizon 1 and without memory"),
        (RememberingPrior(STATE), InvalidArgumentError, "horizon 1 and without memory"),
        (AffinePrior(ObservationSpec(state=5)), SpaceMismatchError, "look at the same"),
        (AffinePrior(STATE, action_dim=3), SpaceMismatchError, "the same actions"),
        (AffinePrior(STATE, metadata={"sees": ["box"]}), SpaceMismatchError, "box"),
    ],
)
def test_priors_that_do_not_go_together_are_refused(
    of: AffinePrior, error: type[ParrotError], message: str
) -> None:
    with pytest.raises(error, match=message):
        ProductMixture(AffinePrior(STATE), of=of)


def test_priors_without_densities_are_refused() -> None:
    product = ProductMixture(AffinePrior(STATE), of=AffinePrior(STATE))
    with pytest.raises(ParrotError, match="tells densities for features"):
        product.decode(noise(3, 3), OBS[:3])
    with pytest.raises(InvalidArgumentError, match="candidates"):
        read_mixture({"kind": "product", "of": "parrot-v0", "candidates": 1})
