"""Priors of chunks: what is executed, what is rewarded, and where an episode ends in a chunk."""

import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from parrot_wrapper import ActionChunking, BehavioralPriorWrapper
from parrot_wrapper.errors import InvalidArgumentError, LatentError, SpaceMismatchError
from parrot_wrapper.evaluation.policies import PriorSamples, UniformActions
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.wrappers.chunk import executed_steps
from tests.helpers import SPECS, AffinePrior, EchoEnv

MODES = pytest.mark.parametrize("mode", ["image", "features", "both"])


class LoggingEnv(EchoEnv):
    """Keeps what was executed; succeeds and lifts on the second step of an episode only."""

    def __init__(self, ends_on: int = 0, **options):
        super().__init__("state", **options)
        self.executed, self.ends_on = [], ends_on

    def step(self, action):
        self.executed.append((self.taken, action.copy()))
        seen, reward, _, truncated, info = super().step(action)
        second = self.taken == 2
        told = {**info, "is_success": second, "lifted": ["thing"] if second else []}
        return seen, reward, self.taken == self.ends_on, truncated, told


def wrap(env, *, horizon=3, **options):
    return BehavioralPriorWrapper(env, AffinePrior(SPECS["state"], horizon=horizon), **options)


@MODES
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_executes_the_chunk_open_loop_until_the_episode_ends(mode, gamma):
    """Five steps in chunks of three: three, then two."""
    env = wrap(LoggingEnv(steps=5), observation=mode, gamma=gamma)
    bare, prior = LoggingEnv(steps=5), AffinePrior(SPECS["state"], horizon=3)
    env.reset(seed=3)
    seen, _ = bare.reset(seed=3)
    for length, ended in ((3, False), (2, True)):
        u = np.array([0.4, -0.3], np.float32)
        chunk = prior.decode(env.chart.to_latent(u[None]), seen[None])[0]
        expected = np.clip(chunk, -1.0, 1.0)[:length]
        agent_sees, reward, terminated, truncated, info = env.step(u)
        rewards = []
        for action in expected:
            seen, step_reward, *_ = bare.step(action.copy())
            rewards.append(step_reward)
        np.testing.assert_array_equal(info["parrot/action"][:length], expected)
        assert info["parrot/action"].shape == (3, 2) and not info["parrot/action"][length:].any()
        done = [action for _, action in env.unwrapped.executed[-length:]]
        np.testing.assert_array_equal(done, expected)
        assert (info["parrot/env_steps"], terminated, truncated) == (length, False, ended)
        assert info["parrot/rewards"].tolist() == [*rewards, *[0.0] * (3 - length)]
        assert type(reward) is float
        assert reward == pytest.approx(sum(gamma**k * r for k, r in enumerate(rewards)))
        np.testing.assert_array_equal(info["echo"], expected[-1])
        assert info["is_success"] is False
        told = info["parrot/infos"]
        assert told["is_success"].tolist() == [False, not ended, False]
        np.testing.assert_array_equal(told["echo"], info["parrot/action"])
        lifted = [["thing"] if k == 1 and not ended else [] for k in range(length)]
        assert told["lifted"] == (*lifted, *[None] * (3 - length))
        steps = list(executed_steps(reward, info))
        assert [(r, i["is_success"], i["lifted"]) for r, i in steps] == [
            (r, k == 1 and not ended, lifted[k]) for k, r in enumerate(rewards)
        ]
        assert env.observation_space.contains(agent_sees)
    assert env.prior.feature_calls == (2 if mode == "image" else 3)


def test_termination_within_a_chunk_is_passed_through():
    env = wrap(LoggingEnv(ends_on=2))
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    assert (terminated, truncated, info["parrot/env_steps"]) == (True, False, 2)
    assert len(list(executed_steps(0.0, info))) == 2


def test_any_clipped_action_of_a_chunk_is_told():
    env = wrap(LoggingEnv(steps=30), horizon=21)
    env.reset(seed=0)
    *_, info = env.step(np.zeros(2, np.float32))
    assert info["parrot/clipped"] is True
    assert np.abs(info["parrot/action"]).max() == 1.0
    assert np.abs(info["parrot/action"][0]).max() < 1.0


def test_encode_takes_a_chunk():
    env = wrap(LoggingEnv())
    env.reset(seed=0)
    u = np.array([0.3, -0.6], np.float32)
    chunk = env.prior.decode_features(env.chart.to_latent(u[None]), env._driver.features())[0]
    np.testing.assert_allclose(env.encode(chunk), u, atol=1e-5)
    with pytest.raises(InvalidArgumentError, match=r"actions of shape \(1, 3, 2\)"):
        env.encode(chunk[0])


def test_env_steps_are_what_evaluation_counts():
    """Nine steps in chunks of four; success on the second step, which no decision ends on."""
    env = wrap(LoggingEnv(steps=9), horizon=4, gamma=0.5)
    policy = UniformActions(env)
    result = evaluate(policy, env, episodes=2, on_reset=policy.begin)
    echoed = np.array([action[0] for _, action in env.unwrapped.executed]).reshape(2, 9)
    for outcome, actions in zip(result.episodes, echoed, strict=True):
        assert (outcome.steps, outcome.success, outcome.success_once) == (9, False, True)
        assert outcome.lifted is True
        assert outcome.episode_return == pytest.approx(actions.sum(), abs=1e-5)


def test_refusals():
    with pytest.raises(InvalidArgumentError, match=r"gamma.*in \[0, 1\], got 1.5"):
        wrap(LoggingEnv(), gamma=1.5)
    env = wrap(LoggingEnv())
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    env.prior.horizon = 5  # breaks what it promised
    with pytest.raises(LatentError, match=r"shape \(1, 3, 2\) from the prior"):
        env.step(np.zeros(2, np.float32))
    assert not env.unwrapped.executed


def test_samples_over_the_bare_env_are_the_wrappers_uniform_actions():
    """Seven steps in chunks of three; the last one is cut off by the episode's end."""
    prior = AffinePrior(SPECS["state"], horizon=3)
    wrapped = BehavioralPriorWrapper(LoggingEnv(steps=7), prior)
    bare = LoggingEnv(steps=7)
    samples, rng = PriorSamples(bare, prior), np.random.default_rng((5, 2))
    evaluate(samples, bare, episodes=1, seed=5)
    wrapped.reset(seed=5)
    for _ in range(3):
        u = wrapped.chart.to_unit(rng.standard_normal((1, 2)).astype(np.float32))
        wrapped.step(u[0])
    ours, theirs = bare.executed, wrapped.unwrapped.executed
    assert [step for step, _ in ours] == [step for step, _ in theirs] == list(range(7))
    np.testing.assert_allclose([a for _, a in ours], [a for _, a in theirs], atol=1e-5)


def test_spec_holds_the_discount():
    gym.register("ParrotTestChunk-v0", entry_point="tests.helpers:EchoEnv", kwargs={"obs": "state"})
    try:
        text = wrap(gym.make("ParrotTestChunk-v0"), gamma=0.9).spec.to_json()
    finally:
        gym.registry.pop("ParrotTestChunk-v0")
    assert json.loads(text)["additional_wrappers"][-1]["kwargs"]["gamma"] == 0.9


def test_a_chunk_is_executed_until_the_episode_ends():
    env = ActionChunking(EchoEnv("state", steps=5), 3, gamma=0.5)
    assert env.action_space == gym.spaces.Box(-1.0, 1.0, (3, 2), np.float32)
    env.reset(seed=0)
    chunk = np.array([[0.4, 0.0], [0.2, 0.0], [0.8, 0.0]])
    _, reward, _, truncated, info = env.step(chunk)
    assert (reward, truncated) == (pytest.approx(0.4 + 0.1 + 0.2), False)
    np.testing.assert_array_equal(info["parrot/infos"]["echo"], chunk.astype(np.float32))
    _, reward, _, truncated, info = env.step(chunk)
    assert (reward, truncated, info["parrot/env_steps"]) == (pytest.approx(0.5), True, 2)


def test_what_takes_no_chunks():
    with pytest.raises(InvalidArgumentError, match="one_by_one"):
        ActionChunking(EchoEnv("state"), 2, one_by_one="yes")
    for horizon, gamma in ((0, 1.0), (1.5, 1.0), (True, 1.0), (2, 1.5), (2, None)):
        with pytest.raises(InvalidArgumentError):
            ActionChunking(EchoEnv("state"), horizon, gamma=gamma)
    with pytest.raises(InvalidArgumentError, match=r"Box action space \(A,\), got Discrete"):
        ActionChunking(gym.make("CartPole-v1"), 2)
    env = ActionChunking(EchoEnv("state"), 3)
    env.reset(seed=0)
    for action in (np.zeros(2), np.zeros((2, 2)), "left", None):
        with pytest.raises(InvalidArgumentError):
            env.step(action)
    assert env.unwrapped.taken == 0
    with pytest.raises(SpaceMismatchError, match=r"expected shape \(2,\), got shape \(3, 2\)"):
        BehavioralPriorWrapper(env, AffinePrior(SPECS["state"], horizon=3))


def test_gymnasiums_checker_and_spec():
    made = ActionChunking(gym.make("Pendulum-v1"), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is told to be given bare envs
        check_env(made, skip_render_check=True)
    assert made.spec.additional_wrappers[-1].kwargs == {
        "horizon": 2,
        "gamma": 1.0,
        "one_by_one": False,
    }
