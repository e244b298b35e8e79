"""Algorithms of sb3-contrib act through a prior as those of SB3 itself do."""

from copy import deepcopy

import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from parrot_wrapper import BehavioralPriorWrapper, LayerNormReLU, target_entropy
from tests.helpers import AffinePrior
from tests.training.toy_rl import STATE, ReachEnv

contrib = pytest.importorskip("sb3_contrib")

SETTINGS = {
    "learning_starts": 20,
    "buffer_size": 200,
    "batch_size": 8,
    "policy_kwargs": {"net_arch": [8], "activation_fn": LayerNormReLU},
}


@pytest.mark.parametrize("name", ["TQC", "CrossQ"])
def test_trains_saves_and_loads(name, tmp_path):
    env = BehavioralPriorWrapper(ReachEnv(), AffinePrior(STATE), observation="features")
    budget = target_entropy(env.action_space, kl=2.0)
    algorithm = getattr(contrib, name)
    model = algorithm(
        "MlpPolicy", env, target_entropy=budget, seed=0, device="cpu", **deepcopy(SETTINGS)
    )
    model.learn(48)
    assert model.target_entropy == pytest.approx(budget)
    model.save(tmp_path / "model.zip")
    again = algorithm.load(tmp_path / "model.zip", env=env, device="cpu")
    observation, _ = env.reset(seed=1)
    action, _ = again.predict(observation, deterministic=True)
    np.testing.assert_array_equal(action, model.predict(observation, deterministic=True)[0])
    again.learn(10, reset_num_timesteps=False)
    reward, _ = evaluate_policy(again, Monitor(env), n_eval_episodes=2)
    assert 0.0 <= reward <= 5.0
