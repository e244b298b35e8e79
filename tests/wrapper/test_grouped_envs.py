"""Envs that share worker processes: as `SyncVectorEnv`, with one decode for all."""

import os
import signal
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    FlowPrior,
    FlowPriorConfig,
    GroupedVectorEnv,
    ObservationSpec,
)
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, ProcessDiedError

TOO_MUCH = np.float32(0.123)


class Counting(gym.Env[Any, Any]):
    """Ends after so many steps, and tells things that not every env tells."""

    observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-100, 100, (2,), np.float32)})
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.start = steps, 0, 0.0

    def seen(self) -> dict[str, Any]:
        return {"state": np.array([self.done, self.start], np.float32)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.done, self.start = 0, float(self.np_random.random())
        return self.seen(), {"begun": self.start}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.done += 1
        info: dict[str, Any] = {"count": self.done, "part": {"twice": np.ones(2) * self.done}}
        if self.steps == 4:
            info["name"] = "four"
        if action[0] == TOO_MUCH:
            raise ValueError("too much")
        return self.seen(), float(action[0]), False, self.done == self.steps, info

    def process(self) -> int:
        return os.getpid()


ENVS = [lambda steps=steps: Counting(steps) for steps in (2, 3, 4, 5, 2)]


def alike(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            alike(one[key], other[key])
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for first, second in zip(one, other, strict=True):
            alike(first, second)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_it_is_as_if_all_were_in_one_process(mode: AutoresetMode) -> None:
    prior = FlowPrior(FlowPriorConfig(ObservationSpec(state=2), 1, "state", hidden=8))
    grouped = GroupedVectorEnv(ENVS, workers=2, autoreset_mode=mode)
    assert len(set(grouped.call("process"))) == 2
    both = [
        BehavioralPriorVectorWrapper(envs, prior, state_key="state")
        for envs in (grouped, SyncVectorEnv(ENVS, autoreset_mode=mode))
    ]
    assert both[0].observation_space == both[1].observation_space
    for first, second in zip(*(envs.reset(seed=3) for envs in both), strict=True):
        alike(first, second)
    rng = np.random.default_rng(0)
    for _ in range(12):
        action = rng.uniform(-0.9, 0.9, (5, 1)).astype(np.float32)
        for first, second in zip(*(envs.step(action) for envs in both), strict=True):
            alike(first, second)
    for envs in both:
        envs.close()


def test_what_goes_wrong_is_told() -> None:
    with pytest.raises(InvalidArgumentError, match="workers >= 1"):
        GroupedVectorEnv(ENVS, workers=0)
    with pytest.raises(InvalidArgumentError, match="0 envs"):
        GroupedVectorEnv([], workers=1)
    envs = GroupedVectorEnv(ENVS, workers=2)
    envs.reset()
    with pytest.raises(NotOfferedError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.ones(5, bool)})
    with pytest.raises(ValueError, match="too much"):
        envs.step(np.full((5, 1), TOO_MUCH))
    assert envs.step(np.zeros((5, 1), np.float32))[1].shape == (5,)  # and no one is behind
    envs.close()
    envs = GroupedVectorEnv(ENVS, workers=2)
    os.kill(envs.call("process")[-1], signal.SIGKILL)
    with pytest.raises(ProcessDiedError, match="exit code -9"):
        envs.reset()
    envs.close()
