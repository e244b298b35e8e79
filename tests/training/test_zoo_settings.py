"""The settings for RL Baselines3 Zoo are those of `parrot train`."""

import inspect

import pytest
from stable_baselines3 import SAC

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.model import build_model, wrap_env
from parrot_wrapper.rl_zoo.sac import hyperparams
from tests.training.toy_rl import STATE, AffinePrior, ReachEnv


def test_sac_is_built_with_the_same_values():
    settings = hyperparams["default"]
    [[name, options]] = settings["env_wrapper"][0].items()
    assert name == f"parrot_wrapper.{BehavioralPriorWrapper.__name__}"
    config = RLConfig(env_id="x", prior="parrot-v0")
    assert options == {"prior": config.prior, "observation": "features", "latent": config.latent}
    own = {"env_wrapper", "monitor_kwargs", "policy", "n_timesteps", "policy_kwargs"}
    names = set(settings) - own
    assert names <= set(inspect.signature(SAC).parameters)
    prior = AffinePrior(STATE)
    model = build_model(config, wrap_env(ReachEnv(), config, prior), prior)
    for name in names - {"buffer_size", "target_entropy", "train_freq"}:
        assert getattr(model, name) == settings[name], name
    assert settings["n_timesteps"] == config.total_steps
    # seven latents there, two here
    assert settings["target_entropy"] - model.target_entropy == pytest.approx(
        5 * 0.693147, abs=1e-4
    )
    kwargs = settings["policy_kwargs"]
    assert kwargs["net_arch"] == model.policy_kwargs["net_arch"]
    assert kwargs["activation_fn"] is model.policy_kwargs["activation_fn"]
