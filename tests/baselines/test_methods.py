"""What each baseline learns, on data whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from parrot_wrapper.baselines.batches import noisy_pairs
from parrot_wrapper.baselines.cloning import fit_cloned_actor, tanh_gaussian_log_prob
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.feature_cache import FeatureCache
from parrot_wrapper.baselines.hirl import fit_hirl
from parrot_wrapper.baselines.trajrl import action_sequences, fit_trajrl, whole_episodes
from parrot_wrapper.baselines.vae_features import fit_vae_features
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.priors import (
    CVAEPrior,
    CVAEPriorConfig,
    TrajectoryVAEPrior,
    TrajectoryVAEPriorConfig,
    VAEFeatures,
    VAEFeaturesConfig,
)
from parrot_wrapper.training.cloned_actor import ClonedActor, ClonedActorConfig
from parrot_wrapper.types import ObservationSpec
from tests.baselines.toy_data import STATE, image_data, state_data, state_encoder

FIT = FittingConfig(
    steps=400,
    batch_size=64,
    learning_rate=3e-3,
    warmup_steps=20,
    validate_every=200,
    validation_batches=4,
    threads=1,
    device="cpu",
)
BOX = {"action_low": (-2.0, -2.0), "action_high": (2.0, 2.0)}


def state_features(**options) -> EpisodeDataset:
    return FeatureCache(None, state_encoder()).make(state_data(**options), progress=False)


def cvae(**options) -> CVAEPrior:
    config = CVAEPriorConfig(STATE, 2, "state", widths=(64, 32), latent_dim=2, **BOX, **options)
    return CVAEPrior(config)


def test_hirl_samples_both_modes_where_the_state_says():
    prior = cvae(beta=0.05)
    report = fit_hirl(prior, state_features(episodes=300), FIT, progress=False)
    assert report.validation["reconstruction"] < 0.03
    state = np.zeros((400, 3), np.float32)
    state[200:, 0] = np.pi / 2
    z = np.random.default_rng(1).standard_normal((400, 2)).astype(np.float32)
    action = prior.decode(z, state)
    assert abs(action[:200, 0].mean()) < 0.6
    assert abs(action[200:, 0].mean() - 2.0) < 0.6
    positive = action[:, 1] > 0
    assert 0.25 < positive.mean() < 0.75
    near = np.abs(np.abs(action[:, 1]) - 1.4) < 0.4
    assert near.mean() > 0.6
    # encoding tells the modes apart, and decoding gives the action back
    actions = np.array([[0.0, 1.4], [0.0, -1.4]], np.float32)
    again = prior.decode(prior.encode(actions, state[:2]), state[:2])
    np.testing.assert_allclose(again, actions, atol=0.3)
    likely, unlikely = prior.log_prob(np.array([[0, 1.4], [2, 1.4]], np.float32), state[:2])
    assert likely > unlikely + 3


def test_hirl_with_features_leaves_the_encoder_alone():
    """With images all of it is fitted."""
    spec = image_data().observation_spec
    options = {"channels": 8, "slots": 2, "context": 16, "feature_noise": 0.1}
    config = CVAEPriorConfig(spec, 3, "structured", options, widths=(16,))
    data, quick = image_data(), FittingConfig(steps=5, batch_size=8, device="cpu")
    shared = CVAEPrior(config)
    before = {name: t.clone() for name, t in shared.encoder.state_dict().items()}
    features = FeatureCache(None, shared).make(data, progress=False)
    frozen, joint = CVAEPrior(config), CVAEPrior(config)
    fit_hirl(frozen, features, quick, progress=False)
    fit_hirl(joint, data, quick, progress=False)
    changed = {
        name.split(".")[0]
        for name, tensor in frozen.encoder.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"token", "score", "pooled"}  # what makes the context of features
    image = data.observations["image"][:4]
    # the frozen one acts in its folded form, which rounds differently
    np.testing.assert_allclose(frozen.features(image), shared.features(image), atol=1e-6)
    assert not np.allclose(joint.features(image), shared.features(image))


def test_features_are_perturbed_in_training_as_for_a_flow():
    spec = image_data().observation_spec
    options = {"channels": 8, "slots": 2, "context": 16, "feature_noise": 0.5}
    prior = CVAEPrior(CVAEPriorConfig(spec, 3, "structured", options, widths=(16,)))
    data = FeatureCache(None, prior).make(image_data(), progress=False)
    config = FittingConfig(batch_size=8)

    def draw(encoder):
        make = noisy_pairs(data, config, noise_dim=2, encoder=encoder)
        return make(np.random.default_rng(0))

    plain, noisy, again = draw(None), draw(prior.encoder), draw(prior.encoder)
    assert torch.equal(noisy["features"], again["features"])
    assert not torch.equal(noisy["features"], plain["features"])
    assert torch.equal(noisy["action"], plain["action"])
    assert plain["features"].dtype == torch.float32


def two_ways(long: int = 80, short: int = 40) -> EpisodeDataset:
    """Episodes that ramp up or down; the short ones do something else."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.2, 0.8, 6)[:, None] * np.ones(2)
    whole = [rng.choice([-1, 1]) * ramp for _ in range(long)]
    cut = [np.zeros((3, 2)) for _ in range(short)]
    actions = np.concatenate([*whole, *cut])
    lengths = [6] * long + [3] * short
    state = np.zeros((len(actions) + len(lengths), 3))
    return EpisodeDataset.from_arrays(
        {"state": state}, actions + 0.01 * rng.standard_normal(actions.shape), lengths
    )


def test_trajrl_samples_whole_episodes():
    sizes = {"horizon": 6, "widths": (64, 32), "latent_dim": 2, "beta": 0.02}
    config = TrajectoryVAEPriorConfig(STATE, 2, "state", **sizes)
    prior = TrajectoryVAEPrior(config)
    report = fit_trajrl(prior, two_ways(), FIT, progress=False)
    assert report.validation["reconstruction"] < 0.01
    z = np.random.default_rng(1).standard_normal((200, 2)).astype(np.float32)
    actions = prior.decode(z, np.zeros((200, 3), np.float32))
    last = actions[:, -1].mean(axis=1)
    assert (last > 0.6).mean() > 0.2
    assert (last < -0.6).mean() > 0.2
    ramp = np.linspace(0.2, 0.8, 6)
    for episode in actions[np.abs(last) > 0.6]:
        np.testing.assert_allclose(episode.mean(axis=1), np.sign(episode.sum()) * ramp, atol=0.25)
    state = np.zeros((2, 3), np.float32)
    given = np.stack([ramp, -ramp])[:, :, None].repeat(2, axis=2).astype(np.float32)
    np.testing.assert_allclose(prior.decode(prior.encode(given, state), state), given, atol=0.15)


def test_whole_episodes_are_not_padded():
    data = two_ways(long=3, short=2)
    actions = action_sequences(whole_episodes(data, 4), 4)
    assert actions.shape == (3, 4, 2)
    np.testing.assert_array_equal(actions[1], data.actions[6:10])
    with pytest.raises(DataError, match="at least 7 steps, the horizon, got 0; the longest has 6"):
        whole_episodes(data, 7)


def test_vae_features_learn_the_images():
    data = image_data(episodes=40)
    options = {"channels": 8, "embedding": 8}
    config = VAEFeaturesConfig(data.observation_spec, 3, encoder_options=options, beta=0.01)
    prior = VAEFeatures(config)
    report = fit_vae_features(prior, data, FIT, progress=False)
    image = data.observations["image"]
    spread = 0.5 * ((image / 255 - image.mean(0) / 255) ** 2).sum(axis=(1, 2, 3)).mean()
    assert report.validation["reconstruction"] < 0.5 * spread
    mean = np.abs(prior.reconstruct(image).astype(float) - image).mean()
    assert mean < np.abs(image.mean(0) - image).mean() / 2


def test_cloning_finds_the_policy():
    config = ClonedActorConfig((-2.0, -2.0), (2.0, 2.0), features_dim=3, net_arch=(64,))
    cloned = ClonedActor(config)
    fit_cloned_actor(cloned, state_features(episodes=300), FIT, progress=False)
    state = np.array([[0.0, 0, 0], [np.pi / 2, 0, 0], [-np.pi / 2, 0, 0]], np.float32)
    predicted = cloned.predict(state)
    np.testing.assert_allclose(predicted[:, 0], [0.0, 2.0, -2.0], atol=0.3)
    assert np.abs(predicted[:, 1]).max() < 0.8  # one Gaussian between two modes
    with torch.no_grad():
        _, log_std = cloned.gaussian(torch.from_numpy(state))
    assert (log_std[:, 1] > log_std[:, 0]).all()


def test_the_entropy_bonus_keeps_a_clone_wide():
    config = ClonedActorConfig((-2.0, -2.0), (2.0, 2.0), features_dim=3, net_arch=(32,))
    widths = []
    for entropy in (0.0, 0.7):
        cloned = ClonedActor(config)
        settings = replace(FIT, entropy=entropy)
        fit_cloned_actor(cloned, state_features(), settings, progress=False)
        with torch.no_grad():
            widths.append(cloned.gaussian(torch.zeros(1, 3))[1].mean().item())
    assert widths[1] > widths[0] + 0.3


def test_actions_on_the_edge_are_finite_for_a_clone():
    actions = np.tile([[2.0, -2.0]], (10, 1))
    actions[0] = 1.9  # a dimension that never changes is warned about
    data = EpisodeDataset.from_arrays(
        {"state": np.zeros((12, 3))}, actions, [5, 5], action_low=-2.0, action_high=2.0
    )
    features = FeatureCache(None, state_encoder()).make(data, progress=False)
    cloned = ClonedActor(ClonedActorConfig((-2.0, -2.0), (2.0, 2.0), features_dim=3))
    fit_cloned_actor(cloned, features, FIT, progress=False)
    np.testing.assert_allclose(
        cloned.predict(np.zeros((1, 3), np.float32)), [[1.98, -1.98]], atol=0.05
    )


def test_the_clones_density_is_that_of_tanh():
    mean, log_std = torch.tensor([[0.3, -2.0]]), torch.tensor([[-0.5, 0.2]])
    before = torch.tensor([[0.7, -1.0]])
    normal = torch.distributions.Normal(mean, log_std.exp())
    squashed = torch.distributions.TransformedDistribution(
        normal, torch.distributions.transforms.TanhTransform()
    )
    expected = squashed.log_prob(before.tanh()).sum(dim=1)
    torch.testing.assert_close(tanh_gaussian_log_prob(before, mean, log_std), expected)


class TestMistakes:
    def test_data_without_what_the_actor_sees(self):
        cloned = ClonedActor(ClonedActorConfig((-1.0,), (1.0,), features_dim=4))
        message = r"features: the actor expects \(4,\), the data have \(3,\); action box"
        with pytest.raises(DataError, match=message):
            fit_cloned_actor(cloned, state_features(), FIT, progress=False)

    def test_images_of_another_size(self):
        spec = ObservationSpec(image=(16, 16, 3))
        prior = VAEFeatures(VAEFeaturesConfig(spec, 3, encoder_options={"channels": 4}))
        with pytest.raises(DataError, match=r"image: the prior expects \(16, 16, 3\)"):
            fit_vae_features(prior, image_data(), FIT, progress=False)

    def test_one_episode(self):
        with pytest.raises(DataError, match="two or more episodes"):
            fit_hirl(cvae(), state_features(episodes=1), FIT, progress=False)
