"""An env that takes several actions at once: what vector envs need for priors of chunks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.checks import number_array, require_count, require_instance
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import AnyArray
from parrot_wrapper.wrappers.chunk import (
    CHUNK_OVER,
    check_discount,
    discounted,
    execute_chunk,
    nothing_executed,
    one_reward,
    told_of_chunk,
)


class ActionChunking(gym.Wrapper[Any, AnyArray, Any, AnyArray], RecordConstructorArgs):
    """Execute chunks of H actions, and stop early where the episode ends.

    A vector env steps its sub-envs together and begins new episodes by itself, so that only the
    sub-env can stop in the middle of a chunk. `BehavioralPriorVectorWrapper` and
    `BehavioralPriorVecWrapper` over a prior of chunks need it around each sub-env;
    `BehavioralPriorWrapper`, around a single env, does the same by itself.

    A step's reward is sum_k gamma^k r_k, and its info the last env step's, with the keys that
    `BehavioralPriorWrapper` documents for chunks; a reset tells the same keys.

    A prior that decodes each action for the newest observation (`DecodesClosedLoop`) needs
    `one_by_one`. The wrappers above then step H times for each decision. Where an episode ends
    within a chunk, `"parrot/over"` in the info is True and the steps that are left do nothing, so
    that all sub-envs keep pace; the reward and the end are told by the last of the H steps, until
    then the reward is 0.

    Args:
        env: Env with a Box action space (A,). The action space becomes (H, A), or (1, A).
        horizon: H, at least 1: the prior's.
        gamma: Discount of an env step within a chunk, in [0, 1].
        one_by_one: Take the actions of a chunk one at a time, in H steps. An action of NaN before
            the first one is passed over.

    Attributes:
        chunk_horizon: H.

    Raises:
        InvalidArgumentError: The action space is no Box (A,), or another argument is outside its
            range.

    Example:
        >>> import gymnasium as gym
        >>> env = ActionChunking(gym.make("Pendulum-v1"), 3)
        >>> _ = env.reset(seed=0)
        >>> *_, info = env.step(np.zeros((3, 1), np.float32))
        >>> info["parrot/env_steps"], info["parrot/rewards"].shape
        (3, (3,))
    """

    def __init__(
        self,
        env: gym.Env[Any, AnyArray],
        horizon: int,
        *,
        gamma: float = 1.0,
        one_by_one: bool = False,
    ) -> None:
        require_count("horizon", horizon)
        require_instance("one_by_one", one_by_one, bool, "True or False")
        self._gamma = check_discount(gamma)
        box = env.action_space
        if not isinstance(box, spaces.Box) or len(box.shape) != 1:
            raise InvalidArgumentError(f"Expected an env with a Box action space (A,), got {box}.")
        RecordConstructorArgs.__init__(self, horizon=horizon, gamma=gamma, one_by_one=one_by_one)
        gym.Wrapper.__init__(self, env)
        self._one_by_one = one_by_one
        rows = 1 if one_by_one else horizon
        low, high = (np.tile(edge, (rows, 1)) for edge in (box.low, box.high))
        self._box = spaces.Box(low, high, dtype=box.dtype.type)
        self.action_space = self._box
        self.chunk_horizon = horizon
        self._under_way = _UnderWay(np.zeros((horizon, *box.shape), box.dtype))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env."""
        observation, info = self.env.reset(seed=seed, options=options)
        told = nothing_executed(info, np.zeros_like(self._under_way.actions))
        if self._one_by_one:
            told[CHUNK_OVER] = False
        self._under_way.begin(observation, told)
        return observation, told

    def step(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute a chunk (H, A), or its next action (1, A).

        Raises:
            InvalidArgumentError: It has another shape, or is no array of numbers. The env is not
                stepped.
        """
        chunk = number_array("actions", action, InvalidArgumentError)
        if chunk.shape != self._box.shape:
            raise InvalidArgumentError(
                f"Expected a chunk of actions of shape {self._box.shape}, got {chunk.shape}."
            )
        chunk = chunk.astype(self._box.dtype)
        if not self._one_by_one:
            return execute_chunk(self.env, chunk, gamma=self._gamma)
        return self._next(chunk[0])

    def _next(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        now = self._under_way
        if now.calls == 0:
            if np.isnan(action).all():  # this decision went into a reset
                return now.observation, 0.0, False, False, now.told
            now.begin(now.observation, now.told)
        now.calls += 1
        if now.goes_on:
            now.actions[len(now.rewards)] = action
            now.observation, reward, now.terminated, now.truncated, info = self.env.step(action)
            now.rewards.append(one_reward(reward))
            now.infos.append(info)
            told = told_of_chunk(now.actions, now.rewards, now.infos)
            now.told = {**info, **told, CHUNK_OVER: not now.goes_on}
        if now.calls < len(now.actions):
            return now.observation, 0.0, False, False, now.told
        now.calls = 0
        total = discounted(now.rewards, self._gamma)
        return now.observation, total, now.terminated, now.truncated, now.told


class _UnderWay:
    """A chunk that is executed one by one: the H actions so far, and what they led to."""

    def __init__(self, actions: AnyArray) -> None:
        self.actions = actions
        self.begin(None, {})

    def begin(self, observation: Any, told: dict[str, Any]) -> None:
        """Start a chunk: so many `calls` are done, and so many `rewards` were of env steps."""
        self.observation, self.told = observation, told
        self.calls = 0
        self.rewards: list[float] = []
        self.infos: list[dict[str, Any]] = []
        self.terminated = self.truncated = False

    @property
    def goes_on(self) -> bool:
        """Whether the episode does."""
        return not (self.terminated or self.truncated)
