"""RL over a prior of chunks: every env step is counted, and the discount fits the horizon."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from parrot_wrapper.rl.evaluation import evaluate_run
from parrot_wrapper.rl.logs import STEP_KEY, read_episodes, read_log
from parrot_wrapper.rl.model import build_model, wrap_env
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
