"""Demonstrations in SB3's replay buffers, against the wrapper itself; and episodes out of them."""

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.data import Episode, EpisodeDataset, save_dataset
from parrot_wrapper.data.exchange import ImportOptions
from parrot_wrapper.errors import DataError, InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.rl.replay.buffers import (
    DemonstrationDictReplayBuffer,
    DemonstrationReplayBuffer,
)
from parrot_wrapper.rl.replay.demonstrations import fill_replay_buffer
from parrot_wrapper.rl.replay.episodes import dataset_from_replay_buffer
from parrot_wrapper.rl.replay.settings import DemonstrationReplay
from parrot_wrapper.types import FloatArray
from tests.helpers import SPECS, AffinePrior, EchoEnv, RememberingPrior
from tests.training.toy_rl import toy_config, toy_train


def recorded(obs: str, episodes: int = 3) -> EpisodeDataset:
    """Episodes of random actions in an `EchoEnv`; the success of all but the second."""
    env = EchoEnv(obs)
    env.action_space.seed(0)
    result = []
    for index in range(episodes):
        env.steps = 3 + index
        first, _ = env.reset(seed=index)
        seen, actions, rewards = [first], [], []
        done = False
        while not done:
            action = env.action_space.sample() * 0.5
            actions.append(action.copy())
            observation, reward, _, done, _ = env.step(action)
            seen.append(observation)
            rewards.append(reward)
        stacked = (
            {key: np.stack([o[key] for o in seen]) for key in first}
            if isinstance(first, dict)
            else np.stack(seen)
        )
        if obs == "chw":
            stacked = np.moveaxis(stacked, 1, -1)
        result.append(Episode(stacked, np.stack(actions), np.array(rewards), index != 1, index))
    return EpisodeDataset.from_episodes(result)


class Doubling(RememberingPrior):
    """Of chunks: the second action is twice the first; encoding is exact for such chunks alone."""

    def decode_features(self, z: FloatArray, features: FloatArray) -> FloatArray:
        first = self.scale * z + self.shift(features)
        return np.stack([first, 2 * first], axis=1)


def in_chunks(data: EpisodeDataset) -> EpisodeDataset:
    """Every second action of an episode is twice the one before."""
    made = []
    for index in range(data.n_episodes):
        own = data.episode(index)
        actions = own.actions / 2
        actions[1::2] = 2 * actions[:-1:2]
        made.append(Episode(own.observations["state"], actions, actions[:, 0], True, index))
    return EpisodeDataset.from_episodes(made)


CASES = [
    (obs, seen, AffinePrior)
    for obs in ("hwc", "chw", "state", "dict")
    for seen in ("image", "features", "both")
]
CASES += [
    ("state", seen, kind) for seen in ("features", "both") for kind in (RememberingPrior, Doubling)
]


@pytest.mark.parametrize(("obs", "observation", "kind"), CASES)
def test_as_the_wrapped_env_would_have_filled_it(
    obs: str, observation: str, kind: type[AffinePrior]
) -> None:
    """The same actions, taken through the wrapper by way of u, give the same transitions.

    Chunks of two in episodes of three, four and five: two, two and three transitions.
    """
    horizon = 2 if kind is Doubling else 1
    data, transitions = recorded(obs), 12
    if horizon == 2:
        data, transitions = in_chunks(data), 7
    prior = kind(SPECS[obs], horizon=horizon)
    told = {"observation": observation, "latent": "box:9", "gamma": 0.9}
    env = BehavioralPriorWrapper(EchoEnv(obs), prior, **told)
    policy = (
        "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"
    )
    model = SAC(policy, env, buffer_size=100, learning_starts=1, batch_size=8, train_freq=1000)
    filled = fill_replay_buffer(model, data, prior, **told)
    assert filled.transitions == transitions
    assert filled.edge_fraction == 0.0
    expected = SAC(policy, env, buffer_size=100, learning_starts=1, batch_size=8).replay_buffer
    vec = model.get_env()
    for index in range(data.n_episodes):
        episode = data.episode(index)
        env.unwrapped.steps = episode.n_steps
        vec.seed(index)
        seen = vec.reset()
        for step in range(0, episode.n_steps, horizon):
            chunk = episode.actions[step : step + horizon]
            chunk = np.concatenate([chunk, np.repeat(chunk[-1:], horizon - len(chunk), axis=0)])
            u = env.encode(chunk if horizon > 1 else chunk[0])
            following, reward, done, infos = vec.step(u[None])
            after = following
            if done[0]:
                last = infos[0]["terminal_observation"]
                after = (
                    {k: v[None] for k, v in last.items()} if isinstance(last, dict) else last[None]
                )
            expected.add(seen, after, u[None], reward, done, infos)
            seen = following
    found = model.replay_buffer
    assert found.pos == expected.pos == transitions
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        left, right = getattr(found, name), getattr(expected, name)
        pairs = [(left[k], right[k]) for k in left] if isinstance(left, dict) else [(left, right)]
        for one, other in pairs:
            np.testing.assert_allclose(one[:transitions], other[:transitions], atol=1e-5)
    model.learn(20)


def buffer_of(n_envs: int = 1, size: int = 100, **more) -> ReplayBuffer:
    features = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    unit = gym.spaces.Box(-1, 1, (2,), np.float32)
    return ReplayBuffer(size, features, unit, n_envs=n_envs, device="cpu", **more)


def test_several_envs_get_whole_episodes() -> None:
    data = recorded("state", 4)  # 3, 4, 5 and 6 steps
    buffer = buffer_of(3)
    filled = fill_replay_buffer(buffer, data, AffinePrior(SPECS["state"]), observation="features")
    # env 0 has episodes 0 and 3, and 9 steps; the others go on with episodes from the front
    assert filled.transitions == 27
    dones = buffer.dones[:9].T
    assert [np.flatnonzero(column).tolist() for column in dones] == [[2, 8], [3, 6, 8], [4, 7, 8]]
    np.testing.assert_array_equal(buffer.dones[:9], buffer.timeouts[:9])
    following = buffer.next_observations[:8][dones.T[:8] == 0]
    np.testing.assert_array_equal(following, buffer.observations[1:9][dones.T[:8] == 0])


def test_rewards_and_ends() -> None:
    data = recorded("state")
    prior = AffinePrior(SPECS["state"])
    buffer = buffer_of()
    fill_replay_buffer(buffer, data, prior, observation="features", final_reward=2.0, terminal=True)
    expected = np.zeros(12)
    expected[[2, 11]] = 2.0  # not the failure between them
    np.testing.assert_array_equal(buffer.rewards[:12, 0], expected)
    assert not buffer.timeouts.any()
    assert buffer.dones[:12].sum() == 3
    silent = EpisodeDataset.from_arrays(np.zeros((3, 4)), [[0.1, 0.2], [0.2, 0.1]], [2])
    with pytest.warns(UserWarning, match="All rewards .* are 0.*final_reward"):
        fill_replay_buffer(buffer_of(), silent, prior, observation="features")


def own_transition(buffer: ReplayBuffer) -> None:
    """One with a reward of 9, which no demonstration has."""
    shape = (buffer.n_envs,)
    space = buffer.observation_space
    seen = (
        {key: np.zeros((*shape, *part.shape)) for key, part in space.spaces.items()}
        if isinstance(space, gym.spaces.Dict)
        else np.zeros((*shape, *space.shape))
    )
    rewards = np.full(shape, 9.0)
    buffer.add(seen, seen, np.zeros((*shape, 2)), rewards, np.zeros(shape), [{}] * shape[0])


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("kind", [DemonstrationReplayBuffer, DemonstrationDictReplayBuffer])
def test_demonstrations_are_a_share_of_every_batch(kind: type[ReplayBuffer], n_envs: int) -> None:
    data, prior = recorded("state"), AffinePrior(SPECS["state"])
    features = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    seen = (
        gym.spaces.Dict({"features": features}) if issubclass(kind, DictReplayBuffer) else features
    )
    unit = gym.spaces.Box(-1, 1, (2,), np.float32)
    buffer = kind(2, seen, unit, n_envs=n_envs, device="cpu", share=0.25)  # full of its own at once
    fill_replay_buffer(buffer, data, prior, observation="features", final_reward=5.0)
    assert buffer.size() == 0 and buffer.demonstrations.size() == (12 if n_envs == 1 else 8)
    for _ in range(3):
        own_transition(buffer)
    batch = buffer.sample(80)
    rewards = batch.rewards.numpy()[:, 0]
    assert set(rewards[:20]) <= {0.0, 5.0} and set(rewards[20:]) == {9.0}
    found = batch.observations["features"] if isinstance(batch.observations, dict) else None
    assert (batch.observations if found is None else found).shape == (80, 4)
    assert batch.actions.shape == (80, 2) and not batch.dones.any()
    before = buffer.demonstrations
    fill_replay_buffer(buffer, data.subset([0]), prior, observation="features")
    assert buffer.demonstrations is not before and buffer.demonstrations.full


def test_without_demonstrations_it_is_sb3s_buffer() -> None:
    features = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    own = DemonstrationReplayBuffer(9, features, gym.spaces.Box(-1, 1, (2,)), device="cpu")
    own_transition(own)
    assert own.sample(6).rewards.shape == (6, 1)
    for share in (0.0, 1.0):
        with pytest.raises(InvalidArgumentError, match="share must be in"):
            DemonstrationReplayBuffer(9, features, features, share=share)


def test_a_run_is_shown_demonstrations_and_resumes_with_them(tmp_path: Path) -> None:
    save_dataset(recorded("state", 4), tmp_path / "data")
    replay = DemonstrationReplay(str(tmp_path / "data"), share=0.5, episodes=3)
    config = toy_config(replay=replay, total_steps=60, checkpoint_every=40)
    options = {"make_env": lambda *_: EchoEnv("state"), "prior": AffinePrior(SPECS["state"])}
    whole = toy_train(config, tmp_path / "whole", **options)
    assert whole.replay_buffer.demonstrations.size() == 12
    toy_train(replace(config, total_steps=40), tmp_path / "parts", **options)
    resumed = toy_train(config, tmp_path / "parts", **options)
    for one, other in zip(
        whole.policy.state_dict().values(), resumed.policy.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_subset_and_unlikely_actions() -> None:
    data = recorded("state")
    prior = AffinePrior(SPECS["state"], scale=0.001)
    buffer = buffer_of()
    filled = fill_replay_buffer(buffer, data.subset([2, 0]), prior, observation="features")
    assert filled.edge_fraction > 0.9
    np.testing.assert_array_equal(buffer.rewards[:5, 0], data.episode(2).rewards)
    part = prior.features(data.episode(2).observations["state"])
    np.testing.assert_array_equal(buffer.observations[:5, 0], part[:5])
    np.testing.assert_array_equal(buffer.next_observations[4, 0], part[5])


def test_what_does_not_fit() -> None:
    data = recorded("dict")
    prior = AffinePrior(SPECS["dict"])

    def fill(target, dataset=data, wanted=prior, **more):
        fill_replay_buffer(target, dataset, wanted, **{"observation": "features", **more})

    unit = gym.spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(SpaceMismatchError, match=r"buffer takes \(4,\), the .* have \(7,\)"):
        fill(buffer_of())
    with pytest.raises(SpaceMismatchError, match="expected 'image' in the data, which have state"):
        space = gym.spaces.Dict({"image": EchoEnv().observation_space})
        states = recorded("state")
        fill(DictReplayBuffer(9, space, unit), states, observation="image")
    with pytest.raises(SpaceMismatchError, match="observation='both' does not go with"):
        fill(ReplayBuffer(9, EchoEnv().observation_space, unit), observation="both")
    features = gym.spaces.Box(-np.inf, np.inf, (7,), np.float32)
    with pytest.raises(SpaceMismatchError, match="buffer of latent actions"):
        fill(ReplayBuffer(99, features, gym.spaces.Box(-2, 2, (2,), np.float32)))
    with pytest.raises(InvalidArgumentError, match="room for 12 transitions .* got 9"):
        fill(ReplayBuffer(9, features, unit))
    three = gym.spaces.Box(-1, 1, (3,), np.float32)
    with pytest.raises(SpaceMismatchError, match="3 action dimensions as the prior has, got 2"):
        fill(ReplayBuffer(99, features, three), wanted=AffinePrior(SPECS["dict"], action_dim=3))
    with pytest.raises(InvalidArgumentError, match=r"gamma"):
        fill(ReplayBuffer(99, features, unit), gamma=1.5)
    with pytest.raises(SpaceMismatchError, match="Expected image in the data"):
        states = recorded("state").subset([0])
        states.observations["proprio"] = states.observations.pop("state")
        fill(ReplayBuffer(99, features, unit), states)
    with pytest.raises(InvalidArgumentError, match="replay buffer .* got PPO"):
        fill(PPO("MlpPolicy", "Pendulum-v1", device="cpu"))
    goals = HerReplayBuffer.__new__(HerReplayBuffer)
    with pytest.raises(InvalidArgumentError, match="HerReplayBuffer, which relabels"):
        fill(goals)


@pytest.mark.parametrize("obs", ["hwc", "dict", "state"])
@pytest.mark.parametrize("n_envs", [1, 2])
def test_episodes_out_of_a_live_buffer(obs: str, n_envs: int) -> None:
    """What SAC stored while it acted at random is what the envs were given."""
    made = [EchoEnv(obs, action_bound=3.0, steps=5) for _ in range(n_envs)]
    vec = DummyVecEnv([lambda env=env: env for env in made])
    policy = "MultiInputPolicy" if obs == "dict" else "MlpPolicy"
    executed: list[np.ndarray] = []
    model = SAC(policy, vec, buffer_size=40, learning_starts=1000, seed=0, device="cpu")
    model.learn(13 * n_envs, callback=lambda seen, _: executed.append(
        np.stack([info["echo"] for info in seen["infos"]])) or True)  # fmt: skip
    options = ImportOptions(vector_keys=("proprio",) if obs == "dict" else ())
    data = dataset_from_replay_buffer(model.replay_buffer, options)
    assert data.lengths.tolist() == [5, 5] * n_envs  # the third episode is under way
    expected = np.concatenate([np.stack(executed)[:10, env] for env in range(n_envs)])
    np.testing.assert_allclose(data.actions, expected, atol=1e-5)
    np.testing.assert_allclose(data.rewards, expected[:, 0], atol=1e-5)
    assert data.action_bounds[1].tolist() == [3.0, 3.0]
    stored = model.replay_buffer.observations
    first = stored["image"] if obs == "dict" else stored
    if obs != "state":
        shown = np.moveaxis(first[:5, 0], 1, -1) if first.shape[2] == 3 else first[:5, 0]
        np.testing.assert_array_equal(data.episode(0).observations["image"][:5], shown)


def test_a_buffer_that_went_round() -> None:
    for compact in (False, True):
        buffer = buffer_of(size=10, optimize_memory_usage=compact, handle_timeout_termination=False)
        for step in range(14):  # an episode every 4 steps
            row = np.full((1, 4), step, np.float32)
            action = np.array([[step, -step]]) / 20
            buffer.add(row, row + 1, action, np.array([step]), np.array([step % 4 == 3]), [{}])
        data = dataset_from_replay_buffer(buffer)
        # steps 4 ... 13 are left; in the compact one, 4 was overwritten by the last observation
        assert data.rewards.tolist() == list(range(4 + compact, 12))
        assert data.lengths.tolist() == [4 - compact, 4]
        states = data.episode(1).observations["state"][:, 0]
        assert states.tolist() == [8, 9, 10, 11, 11 if compact else 12]


def test_buffers_without_episodes() -> None:
    with pytest.raises(DataError, match="with a finished episode, got none"):
        dataset_from_replay_buffer(buffer_of())
    with pytest.raises(InvalidArgumentError, match=r"got buffer\.pkl.*load_replay_buffer"):
        dataset_from_replay_buffer("buffer.pkl")
