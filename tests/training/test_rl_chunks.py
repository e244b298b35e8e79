"""RL over a prior of chunks: every env step is counted, and the discount fits the horizon."""

import inspect
from pathlib import Path
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
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.evaluation import evaluate_run
from parrot_wrapper.rl.logs import STEP_KEY, read_episodes, read_log
from parrot_wrapper.rl.model import build_model, wrap_env
from parrot_wrapper.rl_zoo.sac import hyperparams
from tests.helpers import AffinePrior
from tests.training.toy_rl import STATE, ReachEnv, toy_config, toy_train


def test_all_steps_are_env_steps(tmp_path: Path) -> None:
    """Episodes of five steps in chunks of three: three, then two."""
    prior = AffinePrior(STATE, horizon=3)
    config = toy_config(total_steps=106, learning_starts=48, checkpoint_every=0)
    model = toy_train(config, tmp_path, prior=prior)
    assert model.num_timesteps == 108  # the first decision that reaches 106
    decisions = 2 * (105 // 5) + 1
    assert model.replay_buffer.size() == decisions
    assert model._n_updates == decisions - 2 * (45 // 5) - 1  # 48 steps are not above 48
    assert [row["env_steps"] for row in read_episodes(tmp_path)] == list(range(5, 106, 5))
    [first, second] = read_log(tmp_path / "log.jsonl")
    assert (first[STEP_KEY], second[STEP_KEY]) == (50, 100)
    assert first["rollout/ep_len_mean"] == 5.0
    assert (tmp_path / "checkpoints" / "step-000000108").is_dir()


def test_success_within_a_chunk_is_seen(tmp_path: Path) -> None:
    class EarlyEnv(ReachEnv):
        """Success on the second step."""

        def step(self, action: Any) -> Any:
            seen, _, terminated, truncated, _ = super().step(action)
            success = self.taken == 2
            return seen, float(success), terminated, truncated, {"is_success": success}

    options = {"make_env": lambda *_: EarlyEnv(), "prior": AffinePrior(STATE, horizon=5)}
    toy_train(toy_config(total_steps=50, gamma=0.5), tmp_path, **options)
    [row] = read_log(tmp_path / "log.jsonl")
    assert (row["rollout/success_once"], row["rollout/success_rate"]) == (1.0, 0.0)
    assert row["rollout/ep_rew_mean"] == 1.0  # not discounted
    kept = {"success": False, "success_once": True, "return": 1.0}
    assert read_episodes(tmp_path)[-1] == {"env_steps": 50, **kept}
    result = evaluate_run(tmp_path, episodes=2, **options)
    assert (result.success.value, result.success_once.value, result.mean_return) == (0.0, 1.0, 1.0)


def test_kl_is_logged_whatever_the_horizon(tmp_path: Path) -> None:
    prior = AffinePrior(STATE, horizon=3)
    toy_train(toy_config(total_steps=600, learning_starts=590), tmp_path, prior=prior)
    rows = read_log(tmp_path / "log.jsonl")
    assert sum("parrot/kl_to_prior" in row for row in rows) == 1
    assert [row["parrot/kl_is_bound"] for row in rows if "parrot/kl_to_prior" in row] == [1.0]


@pytest.mark.parametrize(
    ("horizon", "settings", "expected"),
    [
        (1, {}, 0.9),
        (2, {}, 0.9**2),
        (5, {}, 0.0),
        (7, {}, 0.0),
        (5, {"raw_actions": True}, 0.9),
    ],
)
def test_discount_fits_the_horizon(horizon: int, settings: dict[str, Any], expected: float) -> None:
    """Five steps an episode: a chunk of five is a bandit's decision."""
    config = toy_config(gamma=0.9, **settings)
    gym.register("ParrotTestReach-v0", entry_point=ReachEnv, max_episode_steps=5)
    try:
        env = wrap_env(gym.make("ParrotTestReach-v0"), config, AffinePrior(STATE, horizon=horizon))
        assert build_model(config, env).gamma == pytest.approx(expected)
        bare = wrap_env(ReachEnv(), config, AffinePrior(STATE, horizon=2))
        assert build_model(config, bare).gamma == (0.9 if settings else pytest.approx(0.81))
    finally:
        gym.registry.pop("ParrotTestReach-v0")


def test_sac_learns_a_whole_episode_as_a_bandit(tmp_path: Path) -> None:
    prior = AffinePrior(STATE, scale=0.5, horizon=5)
    config = toy_config(
        total_steps=2_000, learning_starts=400, gradient_steps=2, learning_rate=3e-3, kl=4.0
    )
    toy_train(config, tmp_path, prior=prior)
    result = evaluate_run(tmp_path, make_env=lambda *_: ReachEnv(), prior=prior, episodes=20)
    assert result.success.value >= 0.9
    assert result.mean_return >= 4.0


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
    # seven actions there, two here
    assert settings["target_entropy"] - model.target_entropy == pytest.approx(
        5 * (0.693147 - 5 / 7), abs=1e-4
    )
    kwargs = settings["policy_kwargs"]
    assert kwargs["net_arch"] == model.policy_kwargs["net_arch"]
    assert kwargs["activation_fn"] is model.policy_kwargs["activation_fn"]


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
