"""What SAC is paid for steps that do not end an episode, and what it then does at a goal."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from parrot_wrapper.errors import UnknownNameError
from parrot_wrapper.rl.model import build_model, charge_kl, wrap_env
from tests.helpers import AffinePrior
from tests.training.toy_rl import STATE, ReachEnv, toy_config

DIMS = 6


class Door(gym.Env):
    """An episode ends, with a reward of 1, where the first of six numbers is positive."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (DIMS,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        through = bool(action[0] > 0.0)
        return np.zeros(1, np.float32), float(through), through, self.steps >= 20, {}


@pytest.mark.parametrize(("charged", "goes_through"), [(False, False), (True, True)])
def test_an_agent_that_pays_for_kl_goes_to_the_goal(charged, goes_through):
    torch.set_num_threads(1)
    small = {"net_arch": [16], "optimizer_kwargs": {"fused": True}}
    options = {"ent_coef": 0.1, "gamma": 0.95, "learning_rate": 3e-3, "batch_size": 64, "tau": 0.05}
    model = SAC("MlpPolicy", Door(), learning_starts=100, seed=0, device="cpu",
                buffer_size=2_000, policy_kwargs=small, **options)  # fmt: skip
    if charged:
        charge_kl(model)
    model.learn(1_000)
    action, _ = model.predict(np.zeros(1, np.float32), deterministic=True)
    assert (action[0] > 0.0) is np.bool_(goes_through)


@pytest.mark.parametrize("ent_coef", ["auto_0.3", 0.3])
def test_targets_are_lower_by_the_bonus_of_uniform_actions(ent_coef):
    values = {}
    for targets in ("entropy", "kl"):
        config = toy_config(targets=targets, ent_coef=ent_coef)
        model = build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))
        model.critic_target.load_state_dict(model.critic.state_dict())
        seen, u = torch.zeros(3, 4), torch.zeros(3, 2)
        values[targets] = model.critic_target(seen, u)
        assert torch.equal(model.critic(seen, u)[0], values["entropy"][0])
    paid = 0.3 * 2 * math.log(2.0)
    for plain, charged in zip(values["entropy"], values["kl"], strict=True):
        torch.testing.assert_close(charged, plain - paid)
    with pytest.raises(UnknownNameError, match="'entropy'"):
        toy_config(targets="entropi")
