"""Priors that remember learn of sequences what they do step by step, in any wrapper."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

import parrot_envs
from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
)
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.errors import InvalidArgumentError, UnknownNameError
from parrot_wrapper.evaluation.likelihood import measure_likelihood
from parrot_wrapper.evaluation.recordings import decisions, recording_of
from parrot_wrapper.priors import FlowPrior, MemoryFlowPrior
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.record.expert_episodes import record_episode
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior import fit_prior
from parrot_wrapper.training.prior_batches import batch_maker
from parrot_wrapper.training.prior_config import training_config

ENV_ID = parrot_envs.POINT_MASS_IDS[0]
SMALL = {"hidden": 16, "hidden_layers": 1, "coupling_layers": 2}
memories = pytest.mark.parametrize("memory", ["gru", "last"])
sights = pytest.mark.parametrize("sees", [None, ()], ids=["seeing", "blind"])


def alternating(episodes: int = 40) -> EpisodeDataset:
    """Actions that change their sign at every step, from a random one on; lengths differ."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 12, episodes)
    signs = [rng.choice([-1, 1]) * (-1.0) ** np.arange(n) for n in lengths]
    actions = 0.5 * np.concatenate(signs)[:, None] + 0.05 * rng.standard_normal((lengths.sum(), 2))
    states = rng.standard_normal((lengths.sum() + episodes, 3))
    return EpisodeDataset.from_arrays({"state": states}, actions, lengths)


def settings(kind: type[EncoderPrior], steps: int, **more: Any):
    return training_config(
        kind, steps=steps, batch_size=16, validation_batches=2, validate_every=steps,
        warmup_steps=5, ema_decay=0.0, edge_spread=0.0, precision="float32", device="cpu", **more,
    )  # fmt: skip


def trained(memory: str, sees: tuple[str, ...] | None = None, steps: int = 3) -> MemoryFlowPrior:
    data = alternating()
    options = {"memory": memory, "memory_size": 8, "last": 3, "window": 8, **SMALL}
    prior = MemoryFlowPrior.for_data(data, sees=sees, **options)
    fit_prior(prior, data, settings(MemoryFlowPrior, steps), progress=False)
    return prior


@sights
@memories
def test_the_loss_is_the_likelihood_of_what_is_remembered_step_by_step(memory, sees):
    data = alternating()
    prior = MemoryFlowPrior.for_data(
        data, sees=sees, memory=memory, memory_size=8, last=3, window=12, **SMALL
    )
    fit_prior(prior, data, settings(MemoryFlowPrior, 3), progress=False)
    one = data.subset([4])
    make = batch_maker(one, prior, batch_size=2, edge_spread=0.0)
    batch = make(np.random.default_rng(0))
    assert batch["action"].shape[:2] == (2, 12) and batch["valid"].sum() == 2 * one.lengths[0]
    progress = {"progress": torch.tensor(1.0)}
    with torch.no_grad():
        loss = prior.losses({**batch, **progress}, torch.Generator())["nll"].item()
    recording = recording_of(one, prior, steps=100, rng=np.random.default_rng(0))
    decided = decisions(prior, recording)
    wanted = -prior.log_prob_features(decided.actions, decided.features).mean()
    assert loss == pytest.approx(float(wanted), abs=1e-4)
    found = measure_likelihood(prior, recording, rng=np.random.default_rng(0))
    assert found.nll == pytest.approx(float(wanted), abs=1e-4)
    assert found.inversion_error < 1e-4


@memories
def test_memory_learns_what_no_single_observation_shows(memory):
    data = alternating()
    flow = FlowPrior.for_data(data, sees=(), **SMALL)
    blind = fit_prior(flow, data, settings(FlowPrior, 300, learning_rate=3e-3), progress=False)
    options = {"memory": memory, "memory_size": 8, "last": 3, "window": 12, **SMALL}
    prior = MemoryFlowPrior.for_data(data, sees=(), **options)
    config = settings(MemoryFlowPrior, 300, learning_rate=3e-3)
    remembers = fit_prior(prior, data, config, progress=False)
    # the sign is worth log 2 nats; but that of an episode's first action
    assert remembers.validation_nll < blind.validation_nll - 0.4


def told(prior: MemoryFlowPrior, way: str, steps: int = 7) -> np.ndarray:
    """Actions of two envs, whose episodes end after three steps."""

    def make() -> gym.Env:
        return gym.wrappers.TimeLimit(gym.make(ENV_ID, obs="keys"), 3)

    u = np.random.default_rng(0).uniform(-1, 1, (steps, 2, 2)).astype(np.float32)
    actions = []
    if way == "one":
        for own in range(2):
            env = BehavioralPriorWrapper(make(), prior, observation="features")
            env.reset(seed=own)
            for step in range(steps):
                *_, truncated, info = env.step(u[step, own])
                actions.append(info["parrot/action"])
                if truncated:
                    env.reset()
        return np.array(actions).reshape(2, steps, 2).swapaxes(0, 1)
    if way == "sb3":
        envs = BehavioralPriorVecWrapper(DummyVecEnv([make, make]), prior, observation="features")
        envs.seed(0)
        envs.reset()
        for step in range(steps):
            actions.append([info["parrot/action"] for info in envs.step(u[step])[3]])
        return np.array(actions)
    bare = SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.SAME_STEP)
    vectors = BehavioralPriorVectorWrapper(bare, prior, observation="features")
    vectors.reset(seed=[0, 1])
    for step in range(steps):
        *_, over, infos = vectors.step(u[step])
        infos = infos["final_info"] if over.any() else infos
        actions.append(infos["parrot/action"])
    return np.array(actions)


def navigating(memory: str, sees: tuple[str, ...]) -> MemoryFlowPrior:
    env = gym.make(ENV_ID, obs="keys")
    data = EpisodeDataset.from_episodes([record_episode(env, seed)[0] for seed in range(3)])
    options = {"memory": memory, "memory_size": 8, "last": 3, "window": 16, **SMALL}
    prior = MemoryFlowPrior.for_data(data, sees=sees, **options)
    fit_prior(prior, data, settings(MemoryFlowPrior, 3), progress=False)
    return prior


@pytest.mark.parametrize("sees", [("proprio",), ()], ids=["seeing", "blind"])
@memories
def test_all_wrappers_remember_alike_and_forget_with_the_episode(memory, sees):
    prior = navigating(memory, sees)
    one = told(prior, "one")
    for way in ("sb3", "gymnasium"):
        np.testing.assert_allclose(told(prior, way), one, atol=2e-5)
    for wrapped in (
        BehavioralPriorWrapper(gym.make(ENV_ID, obs="keys"), prior),
        BehavioralPriorVecWrapper(DummyVecEnv([lambda: gym.make(ENV_ID, obs="keys")]), prior),
        BehavioralPriorVectorWrapper(SyncVectorEnv([lambda: gym.make(ENV_ID, obs="keys")]), prior),
    ):
        with pytest.raises(ResetNeeded, match="reset"):
            wrapped.step(np.zeros(wrapped.action_space.shape, np.float32))


@memories
def test_states_of_another_number_of_envs_are_refused(memory):
    prior = trained(memory)
    features, state = prior.features(np.zeros((2, 3), np.float32)), prior.initial_state(3)
    for call in (
        lambda: prior.recall(features, state),
        lambda: prior.advance(state, features, np.zeros((2, 2), np.float32)),
        lambda: prior.advance(state[:2], features, np.zeros((3, 2), np.float32)),
    ):
        with pytest.raises(ValueError, match="expected|Expected"):
            call()


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'gru'"):
        MemoryFlowPrior.for_data(alternating(2), memory="gur")
    for name in ("memory_size", "last", "window"):
        with pytest.raises(InvalidArgumentError, match=name):
            MemoryFlowPrior.for_data(alternating(2), **{name: 0})


@pytest.mark.parametrize("kind", [FlowPrior, MemoryFlowPrior])
def test_a_memory_learns_on_the_features_of_another_prior(kind):
    data = alternating()
    shared = kind.for_data(data, **SMALL)
    fit_prior(shared, data, settings(kind, 2), progress=False)
    features = FeatureCache(None, shared).make(data, progress=False)
    prior = MemoryFlowPrior.for_data(features, shared=shared, window=8, memory_size=4, **SMALL)
    fit_prior(prior, features, settings(MemoryFlowPrior, 2), progress=False)
    state = data.observations["state"][:3]
    np.testing.assert_allclose(
        prior.features(state)[:, :3], shared.features(state)[:, :3], atol=1e-6
    )
