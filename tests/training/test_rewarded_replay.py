"""Rare rewards: batches with more of them than there were, and a warm-up until there are some."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.rl.replay.buffers import (
    RewardedDictReplayBuffer,
    RewardedReplayBuffer,
)
from tests.helpers import AffinePrior
from tests.training.toy_rl import STATE, ReachEnv, toy_config, toy_train

BOX = spaces.Box(-np.inf, np.inf, (1,), np.float32)
UNIT = spaces.Box(-1.0, 1.0, (1,), np.float32)


def buffer(size: int = 1_000, *, share: float = 0.5, n_envs: int = 1) -> RewardedReplayBuffer:
    return RewardedReplayBuffer(size, BOX, UNIT, device="cpu", n_envs=n_envs, share=share)


def play(target: ReplayBuffer, episode: int, *, rewarded: bool, steps: int = 5) -> None:
    """An episode whose observations are its number; its last step is rewarded, or none."""
    for step in range(steps):
        last = step == steps - 1
        seen: Any = np.full((1, 1), episode, np.float32)
        if isinstance(target, DictReplayBuffer):
            seen = {"a": seen}
        done, reward = np.array([last]), np.array([float(rewarded and last)])
        target.add(seen, seen, np.zeros((1, 1)), reward, done, [{"TimeLimit.truncated": last}])


def drawn(target: ReplayBuffer, count: int = 400) -> np.ndarray:
    return target.sample(count).observations.numpy()[:, 0]


def test_share_of_a_batch_is_from_rewarded_episodes() -> None:
    replay = buffer(share=0.25)
    for episode in range(20):
        play(replay, episode, rewarded=episode in (3, 7))
    np.random.seed(0)
    episodes = drawn(replay)
    assert set(episodes[:100]) == {3.0, 7.0}
    assert len(set(episodes[100:])) == 20
    assert {tuple(row) for row in replay.sample(400).dones.numpy()} == {(0.0,)}  # time limits


def test_without_rewards_it_is_sb3s_buffer() -> None:
    replay, stock = buffer(), ReplayBuffer(1_000, BOX, UNIT, device="cpu")
    for episode in range(10):
        play(replay, episode, rewarded=False)
        play(stock, episode, rewarded=False)
    np.random.seed(0)
    first = drawn(replay)
    np.random.seed(0)
    np.testing.assert_array_equal(first, drawn(stock))


def test_overwritten_successes_are_forgotten() -> None:
    replay = buffer(50)
    for episode in range(13):
        play(replay, episode, rewarded=episode in (1, 9))
    assert replay.full and replay.pos == 15
    assert set(drawn(replay)[:200]) == {9.0}


def test_a_success_of_the_episode_under_way_counts_when_it_ends() -> None:
    replay = buffer()
    play(replay, 0, rewarded=False)
    drawn(replay)
    play(replay, 1, rewarded=True)
    assert set(drawn(replay)[:200]) == {1.0}


def test_several_envs_share_their_time_steps() -> None:
    replay = buffer(n_envs=2)
    for step in range(6):
        seen = np.full((2, 1), step, np.float32)
        done = np.array([step in (2, 5), step == 5])
        reward = np.array([0.0, step == 5])
        replay.add(seen, seen, np.zeros((2, 1)), reward, done, [{}, {}])
    assert set(drawn(replay)[:200]) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}  # env 1 had one episode
    replay.rewards[:] = [[0.0, 0.0]] * 5 + [[1.0, 0.0]] + [[0.0, 0.0]] * 494
    replay._rewarded = None
    assert set(drawn(replay)[:200]) == {3.0, 4.0, 5.0}


def test_dict_observations() -> None:
    replay = RewardedDictReplayBuffer(100, spaces.Dict({"a": BOX}), UNIT, device="cpu", share=0.5)
    for episode in range(10):
        play(replay, episode, rewarded=episode == 4)
    assert set(replay.sample(40).observations["a"].numpy()[:20, 0]) == {4.0}


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_bad_share_is_refused(share: float) -> None:
    with pytest.raises(InvalidArgumentError, match="share must be in"):
        buffer(share=share)


def test_frames_stored_once_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="optimize_memory_usage=False"):
        RewardedReplayBuffer(
            10, BOX, UNIT, optimize_memory_usage=True, handle_timeout_termination=False
        )


def test_warm_up_goes_on_until_there_were_rewards(tmp_path: Path) -> None:
    """Updates begin in the step after the episode that made it enough, at an episode's end."""
    config = toy_config(total_steps=400, learning_starts=10, first_rewards=5, checkpoint_every=0)
    prior = AffinePrior(STATE, scale=0.25)  # succeeds in one step of forty
    model = toy_train(config, tmp_path, prior=prior)
    rewards = model.replay_buffer.rewards[:400].reshape(-1, 5)
    enough = np.flatnonzero(np.cumsum(rewards.any(axis=1)) >= 5)[0]
    assert 0 < enough < 70
    assert model._n_updates == 400 - 5 * (enough + 1)
    assert model.learning_starts == 10
    latents = model.replay_buffer.actions[: 5 * (enough + 1)].ravel()
    assert abs(latents.std() - 3**-0.5) < 0.06  # uniform: samples of the prior


def test_warm_up_without_rewards_learns_nothing(tmp_path: Path) -> None:
    class Unrewarded(ReachEnv):
        def step(self, action: Any) -> Any:
            observation, _, *rest = super().step(action)
            return observation, 0.0, *rest

    config = toy_config(first_rewards=1)
    assert toy_train(config, tmp_path, make_env=lambda *_: Unrewarded())._n_updates == 0
