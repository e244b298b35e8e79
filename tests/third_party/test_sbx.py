"""SBX's agents (JAX), unmodified, in a prior's latent space."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from parrot_wrapper import BehavioralPriorWrapper, target_entropy
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError
from parrot_wrapper.rl.checkpoint import list_checkpoints, load_weights
from parrot_wrapper.rl.evaluation import evaluate_run
from parrot_wrapper.rl.jax_agents import model_arrays
from parrot_wrapper.rl.logs import read_log
from parrot_wrapper.rl.model import build_model, wrap_env
from tests.any_env import AnyEnv
from tests.helpers import AffinePrior
from tests.small_priors import make_prior, spec
from tests.training.toy_rl import STATE, ReachEnv, toy_config, toy_train

sbx = pytest.importorskip("sbx")
BOX = gym.spaces.Box(-1, 1, (1,), np.float32)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.parametrize("algorithm", ["SAC", "CrossQ", "TQC"])
def test_it_learns_from_features_of_images(algorithm):
    seen = spec("convolutional")
    env = AnyEnv(frame=seen.image, action_space=BOX)
    env = BehavioralPriorWrapper(env, make_prior("flow", "convolutional"), observation="features")
    budget = {"target_entropy": target_entropy(env.action_space, kl=2.0)}
    small = {"policy_kwargs": {"net_arch": [8]}, "batch_size": 8, "buffer_size": 100}
    model = getattr(sbx, algorithm)("MlpPolicy", env, learning_starts=10, seed=0, **budget, **small)
    before = model.predict(np.zeros((1, env.prior.feature_dim), np.float32), deterministic=True)[0]
    model.learn(30)
    after = model.predict(np.zeros((1, env.prior.feature_dim), np.float32), deterministic=True)[0]
    assert (before != after).any() and (np.abs(after) <= 1.0).all()
    replayed = model.replay_buffer.sample(16)
    assert np.abs(np.asarray(replayed.actions)).max() <= 1.0


def test_training_with_it_learns_and_goes_on_as_unbroken(tmp_path):
    learned = {"total_steps": 800, "learning_starts": 200, "learning_rate": 3e-3, "kl": 4.0}
    config = toy_config(library="sbx", checkpoint_every=400, **learned)
    prior = AffinePrior(STATE, scale=0.5)
    whole = toy_train(config, tmp_path / "whole", prior=prior)
    toy_train(replace(config, total_steps=400), tmp_path / "parts", prior=prior)
    parts = toy_train(config, tmp_path / "parts", prior=prior)
    one, other = model_arrays(whole), model_arrays(parts)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert type(whole) is sbx.SAC and whole.target_entropy == parts.target_entropy
    result = evaluate_run(
        tmp_path / "parts", make_env=lambda *_: ReachEnv(), prior=prior, episodes=20
    )
    assert result.success.value >= 0.9
    logged = [row for row in read_log(tmp_path / "parts/log.jsonl") if "parrot/kl_to_prior" in row]
    assert 0.0 < logged[-1]["parrot/kl_to_prior"] < 20.0
    assert sbx.SAC.load(tmp_path / "parts/model.zip").num_timesteps == 800


def test_a_checkpoint_of_another_library_is_refused(tmp_path):
    toy_train(toy_config(), tmp_path)
    [checkpoint] = list_checkpoints(tmp_path / "checkpoints")
    config = toy_config(library="sbx")
    model = build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))
    with pytest.raises(CheckpointError, match="does not fit the run"):
        load_weights(model, checkpoint)


def test_images_are_refused():
    config = toy_config(library="sbx", prior=None)
    with pytest.raises(InvalidArgumentError, match="vectors"):
        build_model(config, AnyEnv(frame=(8, 8, 3), action_space=BOX))
