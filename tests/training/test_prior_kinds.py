"""What each kind of prior learns, on data whose answer is known, and what all do alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError, NotOfferedError, UnknownNameError
from parrot_wrapper.priors import (
    CVAEPrior,
    CVAEPriorConfig,
    EncoderPrior,
    FlowPrior,
    TrajectoryVAEPrior,
    TrajectoryVAEPriorConfig,
    VAEFeatures,
    VAEFeaturesConfig,
)
from parrot_wrapper.priors.config import PriorConfig
from parrot_wrapper.priors.registry import PRIORS
from parrot_wrapper.priors.trainable import prior_kind, single_steps
from parrot_wrapper.priors.variational import annealed
from parrot_wrapper.rl.cloned_actor import (
    ClonedActor,
    ClonedActorConfig,
    tanh_gaussian_log_prob,
)
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_batches import batch_maker
from parrot_wrapper.training.prior_config import training_config
from parrot_wrapper.training.prior_trainer import PriorTrainer
from tests.training.toy_data import FIT, STATE, image_data, state_data, state_encoder

SMALL = replace(FIT, steps=12, batch_size=8, validate_every=4, checkpoint_every=5)
BOX = {"action_low": (-2.0, -2.0), "action_high": (2.0, 2.0)}


def state_features(**options) -> EpisodeDataset:
    return FeatureCache(None, state_encoder()).make(state_data(**options), progress=False)


def cvae(**options) -> CVAEPrior:
    config = CVAEPriorConfig(STATE, 2, "state", widths=(64, 32), latent_dim=2, **BOX, **options)
    return CVAEPrior(config)


def test_hirl_samples_both_modes_where_the_state_says():
    prior = cvae(beta=0.05)
    report = fit_prior(prior, state_features(episodes=300), FIT, progress=False)
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
    data, quick = image_data(), replace(SMALL, steps=5)
    shared = CVAEPrior(config)
    before = {name: t.clone() for name, t in shared.encoder.state_dict().items()}
    features = FeatureCache(None, shared).make(data, progress=False)
    frozen, joint = CVAEPrior(config), CVAEPrior(config)
    fit_prior(frozen, features, quick, progress=False)
    fit_prior(joint, data, quick, progress=False)
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


@pytest.mark.parametrize("kind", ["flow", "cvae", "bc"])
def test_shared_features_are_perturbed_in_training_alone(kind):
    options = {"channels": 8, "slots": 2, "context": 16, "feature_noise": 0.5}
    shared = FlowPrior.for_data(image_data(), encoder="structured", encoder_options=options)
    with torch.no_grad():
        shared.encoder.heads.bias[:2] = 5.0  # something is seen everywhere
    data = FeatureCache(None, shared).make(image_data(), progress=False)
    prior = prior_kind(kind).for_data(data, shared=shared)
    make = batch_maker(data, prior, batch_size=8, edge_spread=0.0)
    batch = {**make(np.random.default_rng(0)), "progress": torch.tensor(0.5)}
    with torch.no_grad():
        for weight in prior.parameters():  # an untrained flow is the identity, whatever is seen
            weight += 0.1

    def first_loss(seed: int, *, training: bool) -> float:
        torch.manual_seed(0)
        losses = prior.train(training).losses(batch, torch.Generator().manual_seed(seed))
        return next(iter(losses.values())).item()

    noisy = {first_loss(seed, training=True) for seed in (0, 0, 1)}
    assert len(noisy) == 2
    if kind != "cvae":  # which samples its posterior in any case
        assert first_loss(0, training=False) == first_loss(1, training=False)


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


def trajectory(**sizes) -> TrajectoryVAEPrior:
    return TrajectoryVAEPrior(TrajectoryVAEPriorConfig(STATE, 2, "state", **sizes))


def test_trajrl_samples_whole_episodes():
    prior = trajectory(horizon=6, widths=(64, 32), latent_dim=2, beta=0.02)
    report = fit_prior(prior, two_ways(), replace(FIT, steps=500), progress=False)
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


class Chunks(EncoderPrior):
    """Reads windows of three steps, and remembers what it was given."""

    type_tag = "test-chunks"
    config_class = PriorConfig
    batches = "windows"
    horizon = 3
    latent_dim = 2


class Seeing(Chunks):
    """Sees all steps of its windows."""

    type_tag = "test-seeing"
    observes = "all"


def test_what_batches_hold():
    data = two_ways(long=3, short=2)

    def drawn(prior):
        make = batch_maker(data, prior, batch_size=512, edge_spread=0.0)
        return make(np.random.default_rng(0))

    def chunks(starts):
        return {tuple(data.actions[s : s + 3, 0].tolist()) for s in starts}

    data.observations["state"][:] = np.arange(len(data.observations["state"]))[:, None]
    windows, episodes = drawn(Chunks(PriorConfig(STATE, 2, "state"))), drawn(trajectory(horizon=3))
    every = [*range(0, 4), *range(6, 10), *range(12, 16), 18, 21]
    assert {tuple(row) for row in windows["action"][:, :, 0].tolist()} == chunks(every)
    firsts = {tuple(row) for row in episodes["action"][:, :, 0].tolist()}
    assert firsts == chunks((0, 6, 12, 18, 21))
    assert set(episodes) == {"action"}  # it looks at nothing
    # two windows of an episode stand side by side
    pairs = windows["state"][:, 0].reshape(-1, 2).numpy()
    owners = np.searchsorted(data.obs_offsets, pairs, side="right")
    assert (owners[:, 0] == owners[:, 1]).all() and (pairs[:, 0] != pairs[:, 1]).any()
    # who asks for them gets the observations of all steps; the rest is as before
    seen = drawn(Seeing(PriorConfig(STATE, 2, "state")))
    assert seen["state"].shape == (512, 3, 3)
    np.testing.assert_array_equal(seen["action"], windows["action"])
    np.testing.assert_array_equal(seen["state"][:, 0], windows["state"])
    steps = torch.arange(3)
    np.testing.assert_array_equal(seen["state"][:, :, 0], windows["state"][:, :1] + steps)
    single = single_steps({**seen, "progress": torch.tensor(0.5)})
    assert single["progress"] == 0.5
    np.testing.assert_array_equal(single["state"][3:6], seen["state"][1])
    np.testing.assert_array_equal(single["action"][3:6], seen["action"][1])
    # the observation of a window is that of its first step
    by_action = {tuple(data.actions[s : s + 3, 0].tolist()): s for s in every}
    for state, action in zip(windows["state"][:, 0], windows["action"][:, :, 0], strict=True):
        step = by_action[tuple(action.tolist())]
        episode = np.searchsorted(data.step_offsets, step, side="right") - 1
        assert state == step + episode


def test_short_episodes_are_not_padded():
    with pytest.raises(DataError, match="at least 7 steps.* got 0; the longest has 6"):
        fit_prior(trajectory(horizon=7), two_ways(long=3, short=2), FIT, progress=False)
    report = fit_prior(trajectory(horizon=6), two_ways(), replace(FIT, steps=3), progress=False)
    assert report.steps == 3


def test_vae_features_learn_the_images():
    data = image_data(episodes=40)
    options = {"channels": 8, "embedding": 8}
    config = VAEFeaturesConfig(data.observation_spec, 3, encoder_options=options, beta=0.01)
    prior = VAEFeatures(config)
    report = fit_prior(prior, data, replace(FIT, steps=2 * FIT.steps), progress=False)
    image = data.observations["image"]
    spread = 0.5 * ((image / 255 - image.mean(0) / 255) ** 2).sum(axis=(1, 2, 3)).mean()
    assert report.validation["reconstruction"] < 0.5 * spread
    mean = np.abs(prior.reconstruct(image).astype(float) - image).mean()
    assert mean < np.abs(image.mean(0) - image).mean() / 2


def test_cloning_finds_the_policy():
    config = ClonedActorConfig((-2.0, -2.0), (2.0, 2.0), features_dim=3, net_arch=(64,))
    cloned = ClonedActor(config)
    fit_prior(cloned, state_features(episodes=300), FIT, progress=False)
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
        cloned = ClonedActor(replace(config, entropy=entropy))
        fit_prior(cloned, state_features(), FIT, progress=False)
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
    fit_prior(cloned, features, FIT, progress=False)
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
        message = r"features: the prior expects \(4,\), the data have \(3,\); .*; action box"
        with pytest.raises(DataError, match=message):
            fit_prior(cloned, state_features(), FIT, progress=False)

    def test_a_kind_that_cannot_be_trained(self):
        prior = Chunks(PriorConfig(STATE, 2, "state"))
        with pytest.raises(NotOfferedError, match="no weights to train"):
            fit_prior(prior, two_ways(), SMALL, progress=False)
        prior.weight = torch.nn.Parameter(torch.zeros(1))
        with pytest.raises(NotOfferedError, match="'test-chunks' has no losses"):
            fit_prior(prior, two_ways(), SMALL, progress=False)

    def test_batches_that_there_are_not(self, monkeypatch):
        monkeypatch.setattr(Chunks, "batches", "window")
        with pytest.raises(UnknownNameError, match="Did you mean 'windows'"):
            fit_prior(Chunks(PriorConfig(STATE, 2, "state")), two_ways(), SMALL, progress=False)
        monkeypatch.undo()
        monkeypatch.setattr(Chunks, "observes", "al")
        with pytest.raises(UnknownNameError, match="Did you mean 'all'"):
            fit_prior(Chunks(PriorConfig(STATE, 2, "state")), two_ways(), SMALL, progress=False)

    def test_no_likelihood(self):
        report = fit_prior(cvae(), state_data(), SMALL, progress=False)
        with pytest.raises(NotOfferedError, match="reconstruction, kl"):
            report.validation_nll  # noqa: B018

    def test_an_encoder_beside_a_shared_one(self):
        with pytest.raises(InvalidArgumentError, match="beside a shared encoder"):
            FlowPrior.for_data(state_data(), shared=state_encoder(), encoder="state")
        with pytest.raises(InvalidArgumentError, match="'features' is an encoder"):
            VAEFeatures.for_data(image_data(), shared=state_encoder())


# What all kinds do alike ----------------------------------------------------------------------


def small(kind: str, *, shared: bool):
    """A prior of a kind and its data, from images or on shared features."""
    data, options = image_data(), {}
    if kind == "features":
        options = {"encoder_options": {"channels": 4, "embedding": 4}}
    elif kind != "bc" and not shared:
        tiny = {"channels": 4, "hidden": 8, "embedding": 6}
        options = {"encoder": "convolutional", "encoder_options": tiny}
    if kind in CHUNKED:
        options["horizon"] = 2
    if not shared:
        return prior_kind(kind).for_data(data, **options), data
    tiny = {"channels": 8, "slots": 2, "context": 16}
    of = FlowPrior.for_data(data, encoder_options=tiny)
    features = FeatureCache(None, of).make(data, progress=False)
    return prior_kind(kind).for_data(features, shared=of, **options), features


CHUNKED = ("chunk", "flow-matching", "mean-flow", "skill", "latent-variable")
OURS = ("flow", "cvae", "trajectory", "features", *CHUNKED, "memory", "bc")
CASES = [(kind, False) for kind in OURS] + [
    (kind, True) for kind in OURS if kind not in ("trajectory", "features")
]


def test_these_are_ours():
    assert tuple(name for name in PRIORS.names() if name not in PRIORS.added()) == OURS


@pytest.mark.parametrize(("kind", "shared"), CASES)
def test_every_kind_resumes_bit_for_bit(kind, shared, tmp_path, monkeypatch):
    unbroken, data = small(kind, shared=shared)
    expected = fit_prior(unbroken, data, SMALL, progress=False)
    update = PriorTrainer.update

    def dying(self, batch, *, step, **options):
        if step == 8:
            raise MemoryError
        return update(self, batch, step=step, **options)

    monkeypatch.setattr(PriorTrainer, "update", dying)
    with pytest.raises(MemoryError):
        killed, data = small(kind, shared=shared)
        fit_prior(killed, data, SMALL, run_folder=tmp_path, progress=False)
    monkeypatch.undo()
    resumed, data = small(kind, shared=shared)
    report = fit_prior(resumed, data, SMALL, run_folder=tmp_path, progress=False)
    assert report.validation == expected.validation
    other = unbroken.state_dict()
    assert all(torch.equal(t, other[name]) for name, t in resumed.state_dict().items())
    assert not resumed.training
    assert not any(p.requires_grad for p in resumed.parameters())
    facts = resumed.metadata
    assert facts["camera"] == {"fov": 45}
    assert facts["metrics"]["validation"] == report.validation


@pytest.mark.parametrize("kind", OURS)
def test_every_kind_has_both_presets(kind):
    kind = prior_kind(kind)
    assert training_config(kind, "paper").steps > training_config(kind).steps
    assert training_config(kind, "paper").ema_decay == 0.0
    assert training_config(kind, steps=7).steps == 7


def test_the_weight_of_the_kl_grows_to_its_value():
    weights = [annealed(1e-3, 0.05, {"progress": torch.tensor(at)}) for at in (0.0, 0.05, 0.2, 1.0)]
    assert weights[0] < 1e-7
    assert weights[1] == pytest.approx(5e-4)  # half at 25K of 500K steps
    assert [float(w) for w in weights[2:]] == pytest.approx([1e-3, 1e-3])


def test_a_flow_learns_on_the_features_of_another():
    shared = state_encoder()
    data = FeatureCache(None, shared).make(state_data(episodes=300), progress=False)
    prior = FlowPrior.for_data(data, shared=shared, seed=1, hidden=64)
    report = fit_prior(prior, data, replace(FIT, steps=800), progress=False)
    assert report.validation["nll"] < 0.5  # that of a normal of the data's spread is about 3.5
    state = np.random.default_rng(1).standard_normal((500, 3)).astype(np.float32)
    np.testing.assert_array_equal(prior.features(state), shared.features(state))
    z = np.random.default_rng(2).standard_normal((500, 2)).astype(np.float32)
    action = prior.decode(z, state)
    assert np.median(np.abs(action[:, 0] - 2 * np.sin(state[:, 0]))) < 0.2
    assert 0.3 < (action[:, 1] > 0).mean() < 0.7


def test_a_penalty_takes_the_steepness_between_two_modes():
    shared = state_encoder()
    data = FeatureCache(None, shared).make(state_data(episodes=300), progress=False)

    def steepest(jacobian: float) -> float:
        prior = FlowPrior.for_data(data, shared=shared, seed=1, hidden=64, jacobian=jacobian)
        report = fit_prior(prior, data, FIT, progress=False)
        assert set(report.validation) == ({"nll", "jacobian"} if jacobian else {"nll"})
        z = np.tile(np.linspace(-2, 2, 401, dtype=np.float32)[:, None], (1, 2))
        action = prior.decode(z, np.zeros((len(z), 3), np.float32))
        return float(np.abs(np.diff(action[:, 1])).max())

    assert steepest(0.3) < 0.7 * steepest(0.0)
