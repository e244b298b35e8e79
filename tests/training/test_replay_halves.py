"""Buffers of which one half is empty: before the agent acts, without demonstrations or rewards."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import BehavioralPriorVecWrapper
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.rl.replay.buffers import (
    DemonstrationDictReplayBuffer,
    DemonstrationReplayBuffer,
    RewardedDictReplayBuffer,
    RewardedReplayBuffer,
    replay_arrays,
    restore_replay,
)
from parrot_wrapper.rl.replay.demonstrations import fill_replay_buffer
from tests.helpers import SPECS, AffinePrior, EchoEnv

PRIOR = AffinePrior(SPECS["state"])
KINDS = {
    "features": (DemonstrationReplayBuffer, RewardedReplayBuffer),
    "both": (DemonstrationDictReplayBuffer, RewardedDictReplayBuffer),
}
SHARES = pytest.mark.parametrize(("share", "n_envs"), [(0.01, 1), (0.5, 3), (0.99, 1)])
BUFFERS = pytest.mark.parametrize(
    ("kind", "seen"), [(kind, seen) for seen, kinds in KINDS.items() for kind in kinds]
)
DEMONSTRATIONS = pytest.mark.parametrize(
    ("kind", "seen"), [(kinds[0], seen) for seen, kinds in KINDS.items()]
)


def model_with(kind: type[ReplayBuffer], seen: Any, n_envs: int = 1, **options: Any) -> SAC:
    """SAC that updates from its first step on, over envs without rewards."""
    venv = DummyVecEnv([partial(Unrewarded, "state")] * n_envs)
    share = options.pop("share", 0.5)
    compact = options.get("optimize_memory_usage", False)
    more = {"handle_timeout_termination": False} if compact else {}
    model = SAC(
        "MlpPolicy" if seen == "features" else "MultiInputPolicy",
        BehavioralPriorVecWrapper(venv, PRIOR, observation=seen),
        learning_starts=0,
        batch_size=4,
        buffer_size=40,
        replay_buffer_class=kind,
        replay_buffer_kwargs={"share": share, **more},
        policy_kwargs={"net_arch": [4]},
        device="cpu",
        **options,
    )
    model.set_logger(configure(None, []))
    return model


class Unrewarded(EchoEnv):
    def step(self, action: Any) -> Any:
        seen, _, *rest = super().step(action)
        return seen, 0.0, *rest


def demonstrations() -> EpisodeDataset:
    """One episode of three steps with a reward of 9 each."""
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-1, 1, (4, 4)), rng.uniform(-0.3, 0.3, (3, 2))
    return EpisodeDataset.from_arrays(states, actions, [3], rewards=np.full(3, 9.0))


def fill(model: SAC, seen: Any) -> None:
    fill_replay_buffer(model, demonstrations(), PRIOR, observation=seen)


@BUFFERS
def test_nothing_at_all_is_one_error(kind: type[ReplayBuffer], seen: str) -> None:
    model = model_with(kind, seen)
    with pytest.raises(DataError, match="with transitions to draw a batch from, got an empty one"):
        model.train(gradient_steps=1, batch_size=4)


@BUFFERS
@SHARES
def test_neither_rewards_nor_demonstrations(
    kind: type[ReplayBuffer], seen: str, share: float, n_envs: int
) -> None:
    model = model_with(kind, seen, n_envs, share=share).learn(12)
    assert model._n_updates > 0
    assert finite(model)


@DEMONSTRATIONS
@SHARES
def test_demonstrations_before_the_agent_acted(
    kind: type[ReplayBuffer], seen: str, share: float, n_envs: int
) -> None:
    """All of the batch is theirs: updates before the first step work, as offline training does."""
    model = model_with(kind, seen, n_envs, share=share)
    fill(model, seen)
    assert set(model.replay_buffer.sample(50).rewards.numpy().ravel()) == {9.0}
    model.train(gradient_steps=2, batch_size=4)
    model.learn(12)
    assert finite(model)
    model.replay_buffer.reset()
    assert set(model.replay_buffer.sample(50).rewards.numpy().ravel()) == {9.0}


@pytest.mark.parametrize("filled", [False, True])
def test_one_observation_a_step_and_saved_and_loaded(filled: bool, tmp_path: Any) -> None:
    model = model_with(DemonstrationReplayBuffer, "features", optimize_memory_usage=True)
    if filled:
        fill(model, "features")
        model.train(gradient_steps=1, batch_size=4)
    model.learn(90)  # more than twice round
    for buffer in ("full", "again"):
        model.save_replay_buffer(tmp_path / buffer)
        model.load_replay_buffer(tmp_path / buffer)
        batch = model.replay_buffer.sample(100)
        assert (9.0 in batch.rewards.numpy()) == filled
        model.replay_buffer.reset()
        model.learn(3, reset_num_timesteps=False)
    assert finite(model)


def test_rewards_of_before_are_forgotten() -> None:
    """When the buffer is emptied, filled from a file, or overwritten in an episode without end."""
    model = model_with(RewardedReplayBuffer, "features").learn(40)
    buffer = model.replay_buffer
    buffer.actions[:5] = 0.5
    without_rewards = replay_arrays(buffer)

    def first_half() -> set[float]:
        return set(buffer.sample(100).actions.numpy()[:50, 0].round(1).tolist())

    def succeed() -> None:
        buffer.rewards[:5] = 1.0
        buffer._rewarded = None
        assert first_half() == {0.5}

    succeed()
    restore_replay(buffer, without_rewards)
    assert len(first_half()) > 1
    succeed()
    seen = np.zeros((1, 4))
    for step in range(41):
        action = np.full((1, 2), 0.5 if step < 5 else 0.0)
        buffer.add(seen, seen, action, np.zeros(1), np.zeros(1), [{}])
    assert first_half() == {0.0, 0.5}
    buffer.reset()
    with pytest.raises(DataError):
        buffer.sample(1)


@BUFFERS
def test_what_the_warning_of_sb3_advises_is_refused(kind: type[ReplayBuffer], seen: str) -> None:
    space, unit = model_with(kind, seen).observation_space, gym.spaces.Box(-1, 1, (2,))
    with pytest.raises(InvalidArgumentError, match="no n_steps.*got 3"):
        kind(10, space, unit, n_steps=3, gamma=0.9)


def finite(model: SAC) -> bool:
    return all(bool(part.isfinite().all()) for part in model.policy.state_dict().values())
