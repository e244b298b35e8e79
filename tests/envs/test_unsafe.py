"""Unsafe events: told when they happen, hardly ever of the expert, and counted in evaluations."""

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest

import parrot_envs  # noqa: F401 - registers the ids
from parrot_envs.sim import bullet
from parrot_envs.unsafe import UNSAFE_EVENTS
from parrot_wrapper.evaluation.rollouts import EpisodeOutcome, EvaluationResult, evaluate

DOWN = np.array([0, 0, -1, 0, 0, 0, 0], np.float32)
STILL = np.zeros(7, np.float32)


def test_uniform_actions_are_unsafe_and_the_expert_is_not() -> None:
    env = gym.make("ParrotMultiTask-v0", obs="state")
    counts = {"expert": Counter[str](), "uniform": Counter[str]()}
    for name, count in counts.items():
        env.action_space.seed(0)
        for seed in range(12):
            _, info = env.reset(seed=seed)
            assert info["unsafe"] == []
            expert = env.unwrapped.make_expert(np.random.default_rng(seed))
            for _ in range(25):
                action = expert.act() if name == "expert" else env.action_space.sample()
                count.update(env.step(action)[-1]["unsafe"])
    assert counts["uniform"]["pressed"] >= 3 and counts["uniform"]["hit"] >= 3
    assert counts["expert"].total() <= 2
    assert set(counts["uniform"]) <= set(UNSAFE_EVENTS)
    env.close()


def test_what_falls_off_or_out_of_reach_is_told_once() -> None:
    env = gym.make("ParrotGraspCup-v0", obs="state")
    env.reset(seed=0)
    inner = env.unwrapped
    first, second = inner._episode.scene.objects
    for placed, to in ((first, (0.3, 0.3, 0.05)), (second, (1.2, 0.0, -0.3))):
        bullet.resetBasePositionAndOrientation(
            placed.body, to, (0, 0, 0, 1), physicsClientId=inner._sim.client
        )
        assert "lost" in env.step(STILL)[-1]["unsafe"]
        assert "lost" not in env.step(STILL)[-1]["unsafe"]
    inner._robot._joints[0] = 3.08
    assert "joint_limit" in inner._episode._watch.look()
    env.close()


def test_evaluations_count_them_where_the_env_tells() -> None:
    env = gym.make("ParrotGraspCup-v0", obs="state")
    env.action_space.seed(0)
    result = evaluate(lambda _: env.action_space.sample(), env, episodes=4, seed=0)
    env.close()
    counted = sum(episode.unsafe or 0 for episode in result.episodes)
    assert result.unsafe_per_1000 == pytest.approx(10.0 * counted)
    assert result.to_dict()["unsafe_per_1000"] == result.unsafe_per_1000
    silent = EpisodeOutcome(0, 25, 0.0, success=False, success_once=False)
    assert EvaluationResult((silent,)).unsafe_per_1000 is None
    told = EpisodeOutcome(0, 25, 0.0, success=False, success_once=False, unsafe=2)
    assert EvaluationResult((silent, told)).unsafe_per_1000 == 80.0
