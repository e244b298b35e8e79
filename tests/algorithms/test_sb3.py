"""Every algorithm of Stable-Baselines3 for continuous actions, and its tools, around a wrapped env.

A wrapped env is an env like any other to them: nothing here is told that a prior is inside.
"""

import math
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from torch.nn.utils import parameters_to_vector

from parrot_wrapper import (
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    LayerNormReLU,
    target_entropy,
)
from parrot_wrapper.errors import InvalidArgumentError
from tests.helpers import SPECS, AffinePrior, EchoEnv
from tests.training.toy_rl import STATE, ReachEnv

NET = {"net_arch": [8]}
OFF_POLICY = {"learning_starts": 20, "buffer_size": 200, "batch_size": 8, "policy_kwargs": NET}
# SB3 writes into the policy_kwargs that it is given, so that every model gets a copy.
ALGORITHMS = {
    SAC: OFF_POLICY,
    TD3: {**OFF_POLICY, "action_noise": NormalActionNoise(np.zeros(2), np.full(2, 0.3))},
    DDPG: OFF_POLICY,
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "policy_kwargs": NET},
    A2C: {"n_steps": 8, "policy_kwargs": NET},
}


def wrapped(**options):
    return BehavioralPriorWrapper(ReachEnv(), AffinePrior(STATE), **options)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.__name__)
def test_trains_saves_and_goes_on_elsewhere(algorithm, tmp_path):
    env = wrapped(observation="features")
    model = algorithm("MlpPolicy", env, seed=0, device="cpu", **deepcopy(ALGORITHMS[algorithm]))
    before = parameters_to_vector(model.policy.parameters()).detach().clone()
    model.learn(64)
    assert not before.equal(parameters_to_vector(model.policy.parameters()))
    model.save(tmp_path / "model.zip")

    other = wrapped(observation="features")
    again = algorithm.load(tmp_path / "model.zip", device="cpu")
    observation, _ = other.reset(seed=4)
    action, _ = again.predict(observation, deterministic=True)
    np.testing.assert_array_equal(action, model.predict(observation, deterministic=True)[0])
    assert other.action_space.contains(action)
    again.set_env(other)
    again.learn(24, reset_num_timesteps=False)
    assert again.num_timesteps == model.num_timesteps + (32 if algorithm is PPO else 24)
    reward, _ = evaluate_policy(again, Monitor(other), n_eval_episodes=2)
    assert 0.0 <= reward <= 5.0


def test_a_model_is_refused_for_an_env_that_shows_something_else():
    model = SAC("MlpPolicy", wrapped(observation="features"), device="cpu", **deepcopy(OFF_POLICY))
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        model.set_env(wrapped(observation="both"))


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_gaussian_policies_start_at_the_prior_with_a_box_chart(algorithm):
    """Their noise is not squashed: in the Gaussian chart a third of it would be on the edge."""
    env = wrapped(latent="box:3.0", observation="features")
    latents = []
    step = env.step

    def watched(action):
        result = step(action)
        latents.append(result[-1]["parrot/latent"])
        return result

    env.step = watched
    start = {"net_arch": [8], "log_std_init": -math.log(3.0)}
    batches = {"batch_size": 400} if algorithm is PPO else {}
    model = algorithm(
        "MlpPolicy",
        env,
        n_steps=400,
        **batches,
        learning_rate=1e-9,
        policy_kwargs=start,
        seed=0,
        device="cpu",
    )
    model.learn(400)
    drawn = np.array(latents)
    assert drawn.mean() == pytest.approx(0.0, abs=0.15)
    assert drawn.std() == pytest.approx(1.0, abs=0.1)


def test_make_vec_env_monitor_and_eval_callback(tmp_path):
    """`make_vec_env` puts its Monitor below the wrapper, where it counts the env's own steps."""
    make = {
        "wrapper_class": BehavioralPriorWrapper,
        "wrapper_kwargs": {"prior": AffinePrior(STATE)},
    }
    venv = make_vec_env(ReachEnv, 2, seed=0, monitor_dir=str(tmp_path / "monitor"), **make)
    callback = EvalCallback(
        Monitor(wrapped()), n_eval_episodes=2, eval_freq=20, log_path=str(tmp_path), verbose=0
    )
    model = SAC("MlpPolicy", venv, seed=0, device="cpu", **deepcopy(OFF_POLICY))
    model.learn(60, callback=callback)
    with np.load(tmp_path / "evaluations.npz") as stored:
        assert stored["results"].shape == (1, 2)
        assert stored["successes"].shape == (1, 2)
    venv.close()
    assert len(list((tmp_path / "monitor").glob("*.monitor.csv"))) == 2
    assert model.ep_success_buffer is not None and len(model.ep_success_buffer) == 12


def test_normalisation_stands_above_the_prior(tmp_path):
    bare = DummyVecEnv([ReachEnv])
    venv = VecNormalize(BehavioralPriorVecWrapper(bare, AffinePrior(STATE), observation="features"))
    model = SAC("MlpPolicy", venv, seed=0, device="cpu", **deepcopy(OFF_POLICY))
    model.learn(40)
    assert model.replay_buffer.observations.std() > 0
    venv.save(str(tmp_path / "normalise.pkl"))
    fresh = BehavioralPriorVecWrapper(
        DummyVecEnv([ReachEnv]), AffinePrior(STATE), observation="features"
    )
    again = VecNormalize.load(str(tmp_path / "normalise.pkl"), fresh)
    again.training = False
    seen = again.reset()
    np.testing.assert_allclose(
        again.unnormalize_obs(seen)[0], again.get_original_obs()[0], atol=1e-5
    )
    with pytest.raises(InvalidArgumentError, match="Put it above"):
        BehavioralPriorVecWrapper(VecNormalize(DummyVecEnv([ReachEnv])), AffinePrior(STATE))
    BehavioralPriorVecWrapper(
        VecNormalize(DummyVecEnv([ReachEnv]), norm_obs=False), AffinePrior(STATE)
    )


def test_frame_stacks_above_the_prior():
    venv = VecFrameStack(BehavioralPriorVecWrapper(DummyVecEnv([EchoEnv]), AffinePrior()), 2)
    model = SAC("CnnPolicy", venv, seed=0, device="cpu", **deepcopy(OFF_POLICY))
    model.learn(24)
    assert model.observation_space.shape == (6, 40, 44)


@pytest.mark.parametrize("kind", ["hwc", "chw", "dict"])
@pytest.mark.parametrize("mode", ["image", "both"])
def test_images_go_to_the_policy_that_sb3_takes_for_them(kind, mode):
    env = BehavioralPriorWrapper(EchoEnv(kind), AffinePrior(SPECS[kind]), observation=mode)
    several = isinstance(env.observation_space, gym.spaces.Dict)
    policy = "MultiInputPolicy" if several else "CnnPolicy"
    PPO(policy, env, n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(8)


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
