"""Running statistics and delays below a prior are noticed wherever they are."""

import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    ObservationSpec,
)
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.evaluation.policies import PriorFeaturesObservation
from tests.helpers import SPECS, AffinePrior, EchoEnv

PRIOR = AffinePrior(SPECS["state"])


class OwnNormalizer(gym.ObservationWrapper):
    """As people copy it, under a name of their own."""

    def __init__(self, env):
        super().__init__(env)
        self.obs_rms = wrappers.utils.RunningMeanStd(shape=(4,))

    def observation(self, observation):
        return observation


class OwnDelay(wrappers.DelayObservation):
    pass


def frozen(make):
    """The same wrapper with its statistics frozen."""

    def made(env):
        wrapped = make(env)
        flag = "training" if isinstance(wrapped, VecNormalize) else "update_running_mean"
        setattr(wrapped, flag, False)
        return wrapped

    return made


def deep(wrap):
    """Below what else people have there."""
    return lambda env: Monitor(wrappers.TimeLimit(wrap(wrappers.OrderEnforcing(env)), 5))


def echo(wrap=lambda env: env):
    return wrap(EchoEnv("state"))


def single(wrap):
    return BehavioralPriorWrapper(echo(deep(wrap)), PRIOR)


def sight(wrap):
    return PriorFeaturesObservation(echo(deep(wrap)), PRIOR)


def sync(wrap):
    return BehavioralPriorVectorWrapper(SyncVectorEnv([partial(echo, deep(wrap))] * 2), PRIOR)


def dummy(wrap):
    return BehavioralPriorVecWrapper(VecMonitor(DummyVecEnv([partial(echo, wrap)] * 2)), PRIOR)


def vector_level(wrap):
    return BehavioralPriorVectorWrapper(wrap(SyncVectorEnv([echo] * 2)), PRIOR)


def sb3_level(wrap):
    return BehavioralPriorVecWrapper(VecMonitor(wrap(DummyVecEnv([echo] * 2))), PRIOR)


WITH_ENVS = {f.__name__: f for f in (single, sight, sync, dummy)}
NORMALIZERS = [
    *((place, wrappers.NormalizeObservation) for place in WITH_ENVS.values()),
    *((place, OwnNormalizer) for place in WITH_ENVS.values()),
    (vector_level, wrappers.vector.NormalizeObservation),
    (sb3_level, VecNormalize),
]
DELAYS = {
    "delay": partial(wrappers.DelayObservation, delay=2),
    "skip": wrappers.MaxAndSkipObservation,
    "skip of SB3": MaxAndSkipEnv,
    "own": partial(OwnDelay, delay=2),
}


def named(value):
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("place", "wrap"), NORMALIZERS, ids=named)
def test_running_statistics_are_refused(place, wrap):
    with pytest.raises(
        InvalidArgumentError, match=r"Normaliz.*running statistics.*above the prior"
    ):
        place(wrap)


@pytest.mark.parametrize(("place", "wrap"), NORMALIZERS, ids=named)
def test_frozen_statistics_are_warned_of(place, wrap):
    with pytest.warns(UserWarning, match=r"Normaliz.*recorded through the same wrapper") as caught:
        place(frozen(wrap))
    assert len(caught) == 1


@pytest.mark.parametrize("place", WITH_ENVS.values(), ids=WITH_ENVS)
@pytest.mark.parametrize("wrap", DELAYS.values(), ids=DELAYS)
def test_what_mixes_in_the_past_is_warned_of(place, wrap):
    with pytest.warns(UserWarning, match="recorded through the same wrapper") as caught:
        place(wrap)
    assert place is sight or caught[0].filename == __file__


def normalized_echo():
    """Frozen at first; its own flag is the outermost, so that vector envs can set it."""
    return frozen(wrappers.NormalizeObservation)(wrappers.DelayObservation(EchoEnv("state"), 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vectorise", "wrap"),
    [
        (partial(AsyncVectorEnv, context="forkserver"), BehavioralPriorVectorWrapper),
        (SubprocVecEnv, BehavioralPriorVecWrapper),
    ],
    ids=["gymnasium", "sb3"],
)
def test_envs_in_processes_are_asked(vectorise, wrap):
    envs = vectorise([normalized_echo])
    try:
        with pytest.warns(UserWarning, match="NormalizeObservation, DelayObservation below"):
            wrap(envs, PRIOR)
        envs.set_attr("update_running_mean", True)
        with pytest.raises(InvalidArgumentError, match="NormalizeObservation below"):
            wrap(envs, PRIOR)
    finally:
        envs.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: single(partial(wrappers.FrameStackObservation, stack_size=2)),
        lambda: single(lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 5))),
        lambda: sync(partial(wrappers.FrameStackObservation, stack_size=2)),
        lambda: sb3_level(partial(VecFrameStack, n_stack=2)),
    ],
)
def test_what_changes_the_space_is_refused_by_it(make):
    with pytest.raises(SpaceMismatchError):
        make()


def test_nothing_is_said_where_nothing_is_changed():
    reward_only = partial(VecNormalize, norm_obs=False)
    above = [
        lambda: single(wrappers.NormalizeReward),
        lambda: wrappers.NormalizeObservation(single(lambda env: env)),
        lambda: vector_level(wrappers.vector.NormalizeReward),
        lambda: sb3_level(reward_only),
        lambda: VecNormalize(sb3_level(lambda venv: venv)),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in above:
            make()


def test_keys_that_the_prior_does_not_read_may_be_normalised():
    state = AffinePrior(ObservationSpec(state=4))
    venv = DummyVecEnv([partial(EchoEnv, "dict")])

    def wrapped(key):
        return BehavioralPriorVecWrapper(
            VecNormalize(venv, norm_obs_keys=["proprio"]), state, state_key=key
        )

    with pytest.raises(InvalidArgumentError, match="VecNormalize"):
        wrapped("proprio")
    image = AffinePrior()
    wrapped = BehavioralPriorVecWrapper(VecNormalize(venv, norm_obs_keys=["proprio"]), image)
    assert wrapped.reset()["proprio"].dtype == np.float32


def test_an_env_that_points_to_itself_is_looked_at_once():
    env = EchoEnv("state")
    env.env = env
    env.envs = [3, None]
    BehavioralPriorWrapper(env, PRIOR)
