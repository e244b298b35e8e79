"""Held-out evaluation, rates and their intervals."""

from typing import Any

import numpy as np
import pytest

from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.evaluation.policies import (
    PriorFeaturesObservation,
    PriorSamples,
    ScriptedExpert,
    UniformActions,
)
from parrot_wrapper.evaluation.rollouts import EvaluationResult, Rate, evaluate
from parrot_wrapper.wrappers.driver import Driver, offered
from parrot_wrapper.wrappers.reader import with_batch_axis
from tests.evaluation.toy_reach import ToyReach
from tests.helpers import IMAGE_SHAPE, SPECS, AffinePrior, EchoEnv


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(10, 20, 0.30, 0.70), (50, 100, 0.40, 0.60), (0, 100, 0.0, 0.037), (100, 100, 0.963, 1.0)],
)
def test_wilson_intervals(hits: int, total: int, low: float, high: float) -> None:
    """Known values, and those of the closed form at the ends."""
    assert Rate(hits, total).interval == pytest.approx((low, high), abs=5e-3)


def test_expert_and_uniform_are_scored_on_the_same_held_out_seeds() -> None:
    env = ToyReach()
    expert, uniform = ScriptedExpert(env), UniformActions(env)
    good = evaluate(expert, env, episodes=10, on_reset=expert.begin)
    poor = evaluate(uniform, env, episodes=10, on_reset=uniform.begin)
    assert good.success.value >= 0.9 > poor.success.value
    assert [episode.seed for episode in good.episodes] == list(range(1_000_000, 1_000_010))
    assert [episode.steps for episode in good.episodes] == [8] * 10
    assert good.share("lifted") == good.success_once
    assert good.share("touched") is None
    assert good.to_dict()["any_touched"] is None
    again = evaluate(uniform, env, episodes=10, on_reset=uniform.begin)
    assert again == poor


def test_success_is_that_of_the_last_step() -> None:
    class Fleeting(ToyReach):
        def _info(self) -> dict[str, Any]:
            return {"is_success": self.taken == 3}

    env = Fleeting()
    policy = UniformActions(env)
    result = evaluate(policy, env, episodes=2)
    assert (result.success.value, result.success_once.value) == (0.0, 1.0)


class Counting:
    """A model with a state: it moves on the first step of an episode only."""

    def __init__(self, env: Any) -> None:
        self.action_space = env.action_space

    def predict(
        self, observation: Any, state: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        assert deterministic
        step = 0 if state is None else state
        return np.full(self.action_space.shape, 1.0 if step == 0 else 0.0, np.float32), step + 1


def test_a_model_is_a_policy_and_its_state_that_of_one_episode() -> None:
    env = EchoEnv("state", steps=3)
    done: list[Any] = []
    result = evaluate(
        Counting(env), env, episodes=2, watch=lambda env, observation, info: done.append(info)
    )
    moved = [bool(np.any(info["echo"])) for info in done if "echo" in info]
    assert moved == [True, False, False] * 2
    assert str(result).startswith("success 0.00 [0.00, 0.66], at some time 0.00")


def test_a_policy_with_a_begin_is_told_of_it() -> None:
    env = ToyReach()
    uniform = UniformActions(env)
    told = evaluate(uniform, env, episodes=3, on_reset=uniform.begin)
    assert evaluate(uniform, env, episodes=3) == told
    assert str(told) == repr(told) and "(3 episodes)" in str(told)


@pytest.mark.parametrize(
    ("policy", "env", "error", "message"),
    [
        (7, EchoEnv("state"), InvalidArgumentError, "model with predict.*or a function.*got 7"),
        (lambda seen: seen, "Pendulum-v1", InvalidArgumentError, "single gymnasium.Env"),
        (
            Counting(EchoEnv("state", action_dim=3)),
            EchoEnv("state"),
            SpaceMismatchError,
            "wrapped as in training",
        ),
    ],
)
def test_what_cannot_be_evaluated(policy: Any, env: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(policy, env, episodes=1)


def test_evaluation_refuses_nothing_and_endless_episodes() -> None:
    env = EchoEnv(steps=100_000)
    with pytest.raises(InvalidArgumentError, match="episodes >= 1, got 0"):
        evaluate(UniformActions(env), env, episodes=0)
    with pytest.raises(InvalidArgumentError, match="did not end"):
        evaluate(UniformActions(env), EchoEnv("state", steps=100_000), episodes=1)
    with pytest.raises(InvalidArgumentError, match="at least one episode"):
        EvaluationResult(())


def test_prior_samples_follow_the_prior() -> None:
    env = EchoEnv("state", action_dim=2)
    prior = AffinePrior(SPECS["state"], scale=0.1)
    policy = PriorSamples(env, prior)
    policy.begin(3)
    observation, _ = env.reset(seed=3)
    actions = np.stack([policy(observation) for _ in range(400)])
    shift = prior.shift(prior.features(observation[None]))[0]
    np.testing.assert_allclose(actions.mean(axis=0), np.repeat(shift, 2), atol=0.02)
    np.testing.assert_allclose(actions.std(axis=0), 0.1, atol=0.02)
    policy.begin(3)
    np.testing.assert_array_equal(policy(observation), actions[0])


@pytest.mark.parametrize("obs", ["hwc", "chw", "state", "dict"])
def test_features_of_every_kind_of_observation(obs: str) -> None:
    env = EchoEnv(obs)
    prior = AffinePrior(SPECS[obs])
    observation, _ = env.reset(seed=0)
    driver = Driver(env, prior, **offered(env))
    driver.observe(with_batch_axis(observation), True)
    features = driver.features()
    wrapped = PriorFeaturesObservation(env, prior)
    seen, _ = wrapped.reset(seed=0)
    np.testing.assert_array_equal(seen, features[0])
    assert wrapped.observation_space.contains(seen)
    assert wrapped.action_space == env.action_space
    if obs == "hwc":
        np.testing.assert_allclose(seen, observation.mean(axis=(0, 1)) / 255.0, rtol=1e-5)
        assert observation.shape == IMAGE_SHAPE


class CalledSuccess(ToyReach):
    """Tells of success as Meta-World does."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return (*result, {"success": np.float64(info["is_success"])})


def test_success_by_its_other_name_counts() -> None:
    env = CalledSuccess()
    expert = ScriptedExpert(env)
    assert evaluate(expert, env, episodes=5, on_reset=expert.begin).success.value >= 0.8
