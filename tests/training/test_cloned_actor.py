"""Cloned actors: their folder, and a SAC that starts as one."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from parrot_wrapper.errors import CheckpointError
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.rl.cloned_actor import (
    ClonedActor,
    ClonedActorConfig,
    initialise_actor,
    load_cloned_actor,
)
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.train import build_model
from parrot_wrapper.types import ObservationSpec


class Looks(gym.Env):
    """An env of one observation space; only its spaces matter."""

    def __init__(self, observation, bound=2.0):
        self.observation_space = observation
        self.action_space = gym.spaces.Box(-bound, bound, (2,), np.float32)


FEATURES = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
IMAGE = gym.spaces.Box(0, 255, (48, 48, 3), np.uint8)


def config(**options) -> ClonedActorConfig:
    values = {"features_dim": 3, "encoder_sha256": prior().encoder_digest, "net_arch": (16, 8)}
    return ClonedActorConfig((-2.0, -2.0), (2.0, 2.0), **(values | options))


def prior(state: int = 3) -> FlowPrior:
    return FlowPrior(FlowPriorConfig(ObservationSpec(state=state), 2, "state", hidden=8))


def sac(seen=FEATURES, bound=2.0, **options):
    values = {"net_arch": (16, 8), "buffer_size": 10, "device": "cpu", "prior": "toy"}
    settings = RLConfig(env_id="Toy-v0", raw_actions=True, **(values | options))
    return build_model(settings, Looks(seen, bound))


@pytest.fixture
def folder(tmp_path):
    ClonedActor(config(), seed=3, metadata={"note": "mine"}).save(tmp_path / "run" / "actor")
    return tmp_path / "run" / "actor"


def test_round_trip(folder):
    original = ClonedActor(config(), seed=3)
    features = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    for place in (folder, folder.parent):  # its run's folder will do
        loaded = load_cloned_actor(place)
        assert loaded.config == original.config
        assert loaded.metadata == {"note": "mine"}
        np.testing.assert_array_equal(loaded.predict(features), original.predict(features))
    assert not np.allclose(
        ClonedActor(config(), seed=4).predict(features), original.predict(features)
    )


def test_sac_starts_as_the_clone(folder):
    model = sac(seed=5)
    features = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    expected = load_cloned_actor(folder).predict(features)
    before, _ = model.predict(features, deterministic=True)
    assert not np.allclose(before, expected, atol=0.01)
    critic = {name: t.clone() for name, t in model.critic.state_dict().items()}
    initialise_actor(model, folder, prior())
    after, _ = model.predict(features, deterministic=True)
    np.testing.assert_allclose(after, expected, atol=1e-5)
    assert all(torch.equal(t, critic[name]) for name, t in model.critic.state_dict().items())
    assert all(p.requires_grad for p in model.actor.parameters())


def test_from_images(tmp_path):
    """The paper's setting: the actor's convolutions are cloned too."""
    seen = {"image": (48, 48, 3), "features_dim": 0, "encoder_sha256": "", "layer_norm": False}
    cloned = ClonedActor(config(**seen))
    cloned.save(tmp_path / "actor")
    model = sac(IMAGE, layer_norm=False, convolutions="paper", observation="image")
    initialise_actor(model, tmp_path / "actor")
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    action, _ = model.predict(image, deterministic=True)
    with torch.no_grad():
        mean, _ = cloned.gaussian(torch.from_numpy(image[None]))
    np.testing.assert_allclose(action, 2.0 * mean.tanh()[0], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"net_arch": (16,)}, r"hidden widths: the actor has \[16, 8\], the model \[16\]"),
        ({"layer_norm": False}, "activation: the actor has LayerNormReLU, the model ReLU"),
        ({"bound": 1.0}, r"action box: .*, the model \[\[-1.0, -1.0\], \[1.0, 1.0\]\]"),
        (
            {"seen": gym.spaces.Box(-1.0, 1.0, (4,), np.float32)},
            r"observation: the actor has \(3,\), the model \(4,\)",
        ),
    ],
)
def test_another_model_is_refused(folder, options, message):
    model = sac(**options)
    before = model.actor.state_dict()["mu.weight"].clone()
    with pytest.raises(CheckpointError, match=message):
        initialise_actor(model, folder)
    assert torch.equal(model.actor.state_dict()["mu.weight"], before)


def test_features_of_another_encoder_are_refused(folder):
    other = prior()
    with torch.no_grad():
        other.encoder.standardise.mean += 1.0
    with pytest.raises(CheckpointError, match="features: cloned from those of encoder"):
        initialise_actor(sac(), folder, other)


def test_priors_and_actors_are_told_apart(folder, tmp_path):
    prior().save(tmp_path / "prior")
    with pytest.raises(CheckpointError, match="type 'bc', found 'flow'"):
        load_cloned_actor(tmp_path / "prior")
    with pytest.raises(CheckpointError, match="found 'bc'"):
        load_prior(folder)
