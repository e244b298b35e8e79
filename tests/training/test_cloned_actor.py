"""Cloned actors: their folder, and a SAC that starts as one."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecTransposeImage

from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.evaluation.prior_features import PriorFeaturesObservation
from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
from parrot_wrapper.rl.cloned_actor import (
    ClonedActor,
    ClonedActorConfig,
    initialise_actor,
    load_cloned_actor,
)
from parrot_wrapper.rl.config import RawActions, RLConfig
from parrot_wrapper.rl.prior_explore import PriorExploreSAC
from parrot_wrapper.rl.replay.replay_arrays import replay_arrays
from parrot_wrapper.rl.train import build_model, train
from parrot_wrapper.types import AnyArray, ObservationSpec
from tests.helpers import SPECS, AffinePrior, EchoEnv
from tests.training.toy_rl import STATE, ReachEnv, toy_config, toy_train


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


class RecordingEnv(EchoEnv):
    """Keeps the observations and actions of all steps."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(kind, **options)
        self.seen: list[AnyArray] = []
        self.executed: list[AnyArray] = []

    def _observe(self) -> Any:
        self.last = super()._observe()
        return self.last

    def step(self, action: AnyArray) -> Any:
        self.seen.append(self.last)
        self.executed.append(action.copy())
        return super().step(action)


def explored(kind: str, config: RLConfig, folder: Path) -> tuple[SAC, RecordingEnv, AffinePrior]:
    """A run in a box of twice the unit's size."""
    env = RecordingEnv(kind, action_bound=2.0)
    prior = AffinePrior(SPECS[kind], scale=0.3, bound=2.0)
    model = train(config, folder, make_env=lambda *_: env, prior=prior, progress=False)
    return model, env, prior


@pytest.mark.parametrize(
    ("kind", "observation"), [("state", "features"), ("hwc", "image"), ("dict", "image")]
)
def test_samples_of_the_prior_are_executed_and_stored(
    tmp_path: Path, kind: str, observation: str
) -> None:
    config = toy_config(
        raw_actions=RawActions(explore=1.0), observation=observation, learning_starts=60
    )
    model, env, prior = explored(kind, config, tmp_path)
    assert type(model) is PriorExploreSAC
    executed = np.array(env.executed)
    np.testing.assert_allclose(model.replay_buffer.actions[:120, 0], executed / 2.0, atol=1e-6)
    seen: Any = (
        np.stack(env.seen)
        if kind != "dict"
        else {key: np.stack([one[key] for one in env.seen]) for key in ("image", "proprio")}
    )
    z = prior.encode(executed, seen)
    assert abs(z.mean()) < 0.2 and z.std() == pytest.approx(1.0, abs=0.15)


def test_probability_is_kept_and_the_policy_acts_otherwise(tmp_path: Path) -> None:
    config = toy_config(
        raw_actions=RawActions(explore=0.7), learning_starts=0, gradient_steps=1, batch_size=2
    )
    prior = AffinePrior(SPECS["state"], scale=1e-4, bound=2.0)  # its samples give themselves away
    env = RecordingEnv("state", action_bound=2.0)
    model = train(config, tmp_path, make_env=lambda *_: env, prior=prior, progress=False)
    executed = np.array(env.executed)
    sampled = np.abs(prior.encode(executed, np.stack(env.seen))).max(axis=1) < 10.0
    assert 0.55 < sampled.mean() < 0.85
    np.testing.assert_allclose(model.replay_buffer.actions[:120, 0], executed / 2.0, atol=1e-6)


def test_without_samples_it_is_stock_sac(tmp_path: Path) -> None:
    settings = {"policy": "MlpPolicy", "buffer_size": 60, "learning_starts": 20, "batch_size": 8}
    options: Any = {**settings, "policy_kwargs": {"net_arch": [8]}, "seed": 3, "device": "cpu"}
    stock = SAC(env=EchoEnv("state"), **options).learn(60)
    prior = AffinePrior(SPECS["state"])
    own = PriorExploreSAC(
        env=EchoEnv("state"), prior=prior, prior_explore=0.0, sees_features=False, **options
    ).learn(60)
    for ours, theirs in zip(own.policy.parameters(), stock.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    arrays = replay_arrays(stock.replay_buffer)
    for name, array in replay_arrays(own.replay_buffer).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_each_env_of_several_draws_for_itself() -> None:
    venv = VecTransposeImage(DummyVecEnv([EchoEnv] * 3))
    model = PriorExploreSAC(
        "MlpPolicy", venv, prior=AffinePrior(scale=0.01), prior_explore=0.5, sees_features=False,
        buffer_size=90, learning_starts=90, seed=0,
    )  # fmt: skip
    model.learn(90)
    near = np.abs(model.replay_buffer.actions[:30]).max(axis=2) < 0.1  # (steps, envs)
    assert (near.sum(axis=1) % 3 > 0).any()
    assert 0.3 < near.mean() < 0.7


def test_saved_models_open_as_both_classes_but_keep_no_prior(tmp_path: Path) -> None:
    config = toy_config(raw_actions=RawActions(explore=0.9), total_steps=10)
    toy_train(config, tmp_path)
    assert SAC.load(tmp_path / "model.zip", device="cpu").num_timesteps == 10
    model = PriorExploreSAC.load(tmp_path / "model.zip", device="cpu")
    assert (model.prior, model.prior_explore) == (None, 0.9)
    model.set_env(PriorFeaturesObservation(ReachEnv(), AffinePrior(STATE)))
    with pytest.raises(InvalidArgumentError, match="assign model.prior"):
        model.learn(20)
    model.prior = AffinePrior(STATE)
    model.learn(20)


def test_prior_explore_refuses_what_cannot_be() -> None:
    with pytest.raises(InvalidArgumentError, match=r"in \[0, 1\], got -0.1"):
        PriorExploreSAC("MlpPolicy", EchoEnv("state"), prior_explore=-0.1)
    with pytest.raises(InvalidArgumentError, match="Prior-explore needs .* got horizon 2"):
        PriorExploreSAC("MlpPolicy", EchoEnv("state"), prior=AffinePrior(STATE, horizon=2))
    with pytest.raises(SpaceMismatchError, match="does not fit the prior"):
        PriorExploreSAC(
            "MlpPolicy", EchoEnv("state"), prior=AffinePrior(), sees_features=False, buffer_size=1
        )


def test_a_cloned_actor_acts_from_the_first_step(tmp_path: Path) -> None:
    """Its actions are near (0.5, -0.5), uniform ones would not be; updates wait their time."""
    low, high = (-1.0, -1.0), (1.0, 1.0)
    width = AffinePrior(STATE).feature_dim
    clone = ClonedActor(ClonedActorConfig(low, high, features_dim=width, net_arch=(32,)))
    with torch.no_grad():
        clone.actor.mu.weight.zero_()
        clone.actor.mu.bias.copy_(torch.atanh(torch.tensor([0.5, -0.5])))
        clone.actor.log_std.weight.zero_()
        clone.actor.log_std.bias.fill_(-4.0)
    clone.save(tmp_path / "clone")
    folder = str(tmp_path / "clone")
    config = toy_config(raw_actions=RawActions(initial_actor=folder), total_steps=60)
    model = toy_train(config, tmp_path / "run")
    assert type(model) is SAC
    assert model._n_updates == 60 - 40
    warm_up = model.replay_buffer.actions[:40, 0]
    np.testing.assert_allclose(warm_up, np.tile([0.5, -0.5], (40, 1)), atol=0.1)
    assert warm_up.std(axis=0).min() > 0.0  # it samples its own distribution
    shutil.rmtree(folder)  # not needed again when the run goes on
    longer = replace(config, total_steps=80)
    assert toy_train(longer, tmp_path / "run").num_timesteps == 80
