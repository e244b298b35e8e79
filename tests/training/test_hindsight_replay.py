"""Hindsight replay behind a prior: goals are relabelled, what was derived from them is not."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from parrot_wrapper import (
    ActionChunking,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    ObservationSpec,
)
from parrot_wrapper.errors import InvalidArgumentError
from tests.helpers import AffinePrior

SEEN = pytest.mark.parametrize("seen", ["image", "both"])
GOAL = ("observation", "desired_goal")


class GoalEnv(gym.Env):
    observation_space = gym.spaces.Dict(
        {
            key: gym.spaces.Box(-9.0, 9.0, (2,), np.float32)
            for key in ("observation", "achieved_goal", "desired_goal")
        }
    )
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = np.zeros(2, np.float32)
        self.goal = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.taken = 0
        return self.see(), {}

    def see(self) -> Any:
        return {
            "observation": self.place.copy(),
            "achieved_goal": self.place.copy(),
            "desired_goal": self.goal.copy(),
        }

    def step(self, action: Any) -> Any:
        self.place = (self.place + 0.1 * action).astype(np.float32)
        self.taken += 1
        reward = float(self.compute_reward(self.place, self.goal, {}))
        return self.see(), reward, False, self.taken >= 6, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.linalg.norm(achieved - desired, axis=-1)


def wrapped(keys: tuple[str, ...], seen: Any, *, horizon: int = 1, vectorised: bool) -> Any:
    prior = AffinePrior(ObservationSpec(state=2 * len(keys)), horizon=horizon)
    options: dict[str, Any] = {"observation": seen, "state_key": keys}
    if not vectorised:
        return BehavioralPriorWrapper(GoalEnv(), prior, **options)
    env = GoalEnv() if horizon == 1 else ActionChunking(GoalEnv(), horizon)
    return VecMonitor(BehavioralPriorVecWrapper(DummyVecEnv([lambda: env]), prior, **options))


def model_over(env: Any) -> SAC:
    return SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        learning_starts=14,
        batch_size=8,
        buffer_size=100,
        policy_kwargs={"net_arch": [4]},
        device="cpu",
    )


@SEEN
@pytest.mark.parametrize("vectorised", [False, True])
def test_features_without_the_goal_stay_right(seen: str, vectorised: bool) -> None:
    env = wrapped(("observation",), seen, vectorised=vectorised)
    model = model_over(env).learn(30)
    batch = model.replay_buffer.sample(64)
    achieved, desired = (
        batch.next_observations[key].numpy() for key in ("achieved_goal", "desired_goal")
    )
    expected = -np.linalg.norm(achieved - desired, axis=1)
    np.testing.assert_allclose(batch.rewards.numpy()[:, 0], expected, atol=1e-5)
    if seen == "both":
        places = batch.observations["observation"].numpy()
        np.testing.assert_allclose(batch.observations["features"], (places + 1) / 2, atol=1e-6)


@SEEN
@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize(
    ("keys", "horizon", "reason"),
    [(GOAL, 1, "reads 'desired_goal'"), (("observation",), 2, "decodes chunks")],
)
def test_what_relabelling_would_make_wrong_is_refused(
    seen: str, vectorised: bool, keys: tuple[str, ...], horizon: int, reason: str
) -> None:
    env = wrapped(keys, seen, horizon=horizon, vectorised=vectorised)
    with pytest.raises(InvalidArgumentError, match=f"{reason}.*without relabelling"):
        model_over(env).learn(30)


def test_others_may_ask_whether_there_are_such_rewards() -> None:
    venv = DummyVecEnv([lambda: wrapped(GOAL, "image", vectorised=False)])
    assert venv.has_attr("compute_reward")
    assert not DummyVecEnv([lambda: gym.make("Pendulum-v1")]).has_attr("compute_reward")
