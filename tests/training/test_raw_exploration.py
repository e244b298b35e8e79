"""Agents that act raw with help from data: samples of a prior, and an actor cloned before."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecTransposeImage

from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.evaluation.policies import PriorFeaturesObservation
from parrot_wrapper.rl.cloned_actor import ClonedActor, ClonedActorConfig
from parrot_wrapper.rl.config import RawActions, RLConfig
from parrot_wrapper.rl.prior_explore import PriorExploreSAC
from parrot_wrapper.rl.replay.buffers import replay_arrays
from parrot_wrapper.rl.train import train
from parrot_wrapper.types import AnyArray
from tests.helpers import SPECS, AffinePrior, EchoEnv
from tests.training.toy_rl import STATE, ReachEnv, toy_config, toy_train


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
        "MlpPolicy",
        venv,
        prior=AffinePrior(scale=0.01),
        prior_explore=0.5,
        sees_features=False,
        buffer_size=90,
        learning_starts=90,
        seed=0,
    )
    model.learn(90)
    near = np.abs(model.replay_buffer.actions[:30]).max(axis=2) < 0.1  # (steps, envs)
    assert (near.sum(axis=1) % 3 > 0).any()
    assert 0.3 < near.mean() < 0.7


def test_chunks_are_executed_whole_until_the_episode_ends() -> None:
    """Two envs; a chunk's actions rise by 0.1, and the die is cast every three steps."""
    venv = DummyVecEnv([lambda n=n: EchoEnv("state", steps=n) for n in (4, 7)])
    prior = AffinePrior(SPECS["state"], scale=1e-4, horizon=3)
    options: Any = {"buffer_size": 600, "learning_starts": 600, "seed": 0}
    model = PriorExploreSAC(
        "MlpPolicy", venv, prior=prior, prior_explore=0.7, sees_features=False, **options
    )
    model.learn(600)
    seen, actions = model.replay_buffer.observations, model.replay_buffer.actions
    shares = []
    for env, length in enumerate((4, 7)):
        for begin in range(0, 300 - length, length):
            for step in range(0, length, 3):
                rows = np.arange(begin + step, begin + min(step + 3, length))
                chunk = np.clip(prior.decode(np.zeros((1, 2), "f4"), seen[rows[:1], env])[0], -1, 1)
                off = np.abs(actions[rows, env] - chunk[: len(rows)]).max(axis=1)
                assert (off < 0.01).all() or (off > 0.01).all()  # whole, or the agent's own
                shares.append(off[0] < 0.01)
    assert 0.6 < np.mean(shares) < 0.8


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
