"""Priors that are no flows: CVAE, trajectory VAE, VAE features, and their folders."""

import math

import numpy as np
import pytest
import torch

from parrot_wrapper.errors import (
    InvalidArgumentError,
    LatentError,
    NotOfferedError,
    SpaceMismatchError,
)
from parrot_wrapper.priors import (
    CVAEPrior,
    CVAEPriorConfig,
    FlowPrior,
    FlowPriorConfig,
    TrajectoryVAEPrior,
    TrajectoryVAEPriorConfig,
    VAEFeatures,
    VAEFeaturesConfig,
    load_prior,
)
from parrot_wrapper.types import ActionPrior, ObservationSpec

STATE = ObservationSpec(state=4)
BOX = {"action_low": (-2.0, -1.0), "action_high": (2.0, 3.0)}


def cvae(**options) -> CVAEPrior:
    config = CVAEPriorConfig(STATE, 2, "state", latent_dim=3, widths=(16, 8), **BOX, **options)
    return CVAEPrior(config)


def trajectory() -> TrajectoryVAEPrior:
    config = TrajectoryVAEPriorConfig(STATE, 2, "state", horizon=5, widths=(16, 8), **BOX)
    return TrajectoryVAEPrior(config)


def features() -> VAEFeatures:
    spec = ObservationSpec(image=(8, 12, 3), proprio=2)
    return VAEFeatures(VAEFeaturesConfig(spec, 2, encoder_options={"channels": 4, "embedding": 6}))


def flow() -> FlowPrior:
    return FlowPrior(FlowPriorConfig(STATE, 2, "state", hidden=8, **BOX))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("make", [cvae, trajectory, features])
def test_a_folder_gives_the_same_prior(make, tmp_path):
    prior = make()
    assert isinstance(prior, ActionPrior)
    prior.set_metadata({"camera": {"fov": 30.0}})
    prior.save(tmp_path / "run" / "prior")
    for folder in (tmp_path / "run" / "prior", tmp_path / "run"):  # the run's folder will do
        loaded = load_prior(folder)
        assert type(loaded) is type(prior)
        assert loaded.config == prior.config
        assert loaded.metadata == {"camera": {"fov": 30.0}}
        assert not any(p.requires_grad for p in loaded.parameters())
        for name, tensor in prior.state_dict().items():
            assert torch.equal(tensor, loaded.state_dict()[name])


@pytest.mark.parametrize(
    ("make", "former"), [(trajectory, "trajectory-vae"), (features, "vae-features")]
)
def test_folders_with_the_former_name_of_a_kind_load(make, former, tmp_path, monkeypatch):
    prior = make()
    monkeypatch.setattr(type(prior), "type_tag", former)
    prior.save(tmp_path)
    monkeypatch.undo()
    assert type(load_prior(tmp_path)) is type(prior)


@pytest.mark.parametrize("make", [cvae, trajectory, features, flow])
def test_print_says_what_it_is_in_a_few_lines(make):
    prior = make()
    prior.set_metadata({"data": {"episodes": 1200}, "metrics": {"validation_nll": -1.5}})
    lines = str(prior).splitlines()
    assert len(lines) == 5 and max(map(len, lines)) < 80
    assert type(prior).__name__ in lines[0] and prior.config.encoder in lines[1]
    assert "1,200 episodes" in lines[3] and "-1.50 nats" in lines[4]
    prior.set_metadata({"data": "of a colleague", "metrics": None})
    assert len(str(prior).splitlines()) == 3  # foreign metadata are no reason to fail


def test_cvae_shapes_and_condition():
    prior, state, z = cvae(), noise(6, 4), noise(6, 3, seed=1)
    action = prior.decode(z, state)
    assert action.shape == (6, 2) and action.dtype == np.float32
    np.testing.assert_array_equal(action, prior.decode_features(z, prior.features(state)))
    assert prior.encode(action, state).shape == (6, 3)
    assert not np.allclose(action, prior.decode(z, state + 1.0))
    assert not np.allclose(prior.encode(action, state), prior.encode(action, state + 1.0))
    with pytest.raises(LatentError, match=r"expected shape \(B, 3\), got \(6, 2\)"):
        prior.decode(action, state)
    with pytest.raises(SpaceMismatchError, match="one row for each of the 6"):
        prior.decode(z[:2], state)


def test_trajectory_shapes():
    prior, state, z = trajectory(), noise(6, 4), noise(6, 8, seed=1)
    actions = prior.decode(z, state)
    assert actions.shape == (6, 5, 2)
    np.testing.assert_array_equal(actions, prior.decode(z, state + 1.0))  # it looks at nothing
    assert prior.encode(actions, state).shape == (6, 8)
    with pytest.raises(InvalidArgumentError, match=r"action: expected shape \(B, 5, 2\)"):
        prior.encode(actions[:, 0], state)
    with pytest.raises(NotOfferedError, match="'trajectory' has no density"):
        prior.log_prob(actions, state)


def test_features_make_no_actions():
    prior = features()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    obs = {"image": image, "proprio": noise(3, 2)}
    assert prior.features(obs).shape == (3, prior.feature_dim) == (3, 8)
    assert prior.reconstruct(obs).shape == image.shape
    z, action = np.zeros((3, 0), np.float32), np.zeros((3, 2), np.float32)
    for call in (
        lambda: prior.decode(z, obs),
        lambda: prior.encode(action, obs),
        lambda: prior.log_prob(action, obs),
    ):
        with pytest.raises(NotOfferedError, match="'features'"):
            call()


def test_log_prob_is_exact_where_the_posterior_is():
    """A linear decoder has a Gaussian density and posterior; a wrong posterior only lowers it."""
    prior = cvae(beta=0.1)
    gains, variance = torch.tensor([0.5, -0.2]), 0.1 * 2 / 2
    evidence = gains**2 + variance
    shift = 0.0

    def posterior(data, condition):
        mean = torch.cat((data * gains / evidence + shift, torch.zeros(len(data), 1)), dim=1)
        return mean, torch.cat((variance / evidence, torch.ones(1))).log().expand(len(data), 3)

    prior.net.posterior = posterior
    prior.net.decode = lambda latent, condition: latent[:, :2] * gains
    action, state = np.array([[1.0, 0.8], [-3.0, 1.0]], np.float32), np.zeros((2, 4), np.float32)
    scaled = torch.tensor([[0.5, -0.1], [-1.5, 0.0]])  # (a - middle) / 2 in this box
    density = torch.distributions.Normal(torch.zeros(2), evidence.sqrt())
    exact = density.log_prob(scaled).sum(dim=1) - 2 * math.log(2.0)
    np.testing.assert_allclose(prior.log_prob(action, state), exact, atol=1e-5)
    shift = 1.0
    wrong = prior.log_prob(action, state)
    assert (wrong < exact.numpy() - 1e-3).all()
    np.testing.assert_array_equal(wrong, prior.log_prob(action, state))
