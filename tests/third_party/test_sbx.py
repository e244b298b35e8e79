"""SBX's agents (JAX), unmodified, in a prior's latent space."""

import gymnasium as gym
import numpy as np
import pytest

from parrot_wrapper import BehavioralPriorWrapper, target_entropy
from tests.any_env import AnyEnv
from tests.small_priors import make_prior, spec

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
