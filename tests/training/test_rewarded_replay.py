"""Rare rewards: batches with more of them than there were, and a warm-up until there are some."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import BehavioralPriorVecWrapper
from parrot_wrapper.data import EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.rl.replay.demonstration_replay import (
    DemonstrationDictReplayBuffer,
    DemonstrationReplayBuffer,
)
from parrot_wrapper.rl.replay.replay_arrays import replay_arrays, restore_replay
from parrot_wrapper.rl.replay.replay_demonstrations import fill_replay_buffer
from parrot_wrapper.rl.replay.rewarded_replay import (
    RewardedDictReplayBuffer,
    RewardedReplayBuffer,
)
from tests.helpers import SPECS, AffinePrior, EchoEnv
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
        BehavioralPriorVecWrapper(venv, PRIOR, observation=seen), learning_starts=0, batch_size=4,
        buffer_size=40, replay_buffer_class=kind, replay_buffer_kwargs={"share": share, **more},
        policy_kwargs={"net_arch": [4]}, device="cpu", **options,
    )  # fmt: skip
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
