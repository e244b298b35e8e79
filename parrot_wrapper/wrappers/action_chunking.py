"""An env that takes several actions at once: what vector envs need for priors of chunks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.checks import number_array, require_count
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import AnyArray
from parrot_wrapper.wrappers.chunk import check_discount, execute_chunk, nothing_executed


class ActionChunking(gym.Wrapper[Any, AnyArray, Any, AnyArray], RecordConstructorArgs):
    """Execute a chunk of H actions a step, open loop, and stop early where the episode ends.

    A vector env steps its sub-envs together and begins new episodes by itself, so that only the
    sub-env can stop in the middle of a chunk. `BehavioralPriorVectorWrapper` and
    `BehavioralPriorVecWrapper` over a prior of chunks need it around each sub-env;
    `BehavioralPriorWrapper`, around a single env, does the same by itself.

    A step's reward is sum_k gamma^k r_k, and its info the last env step's, with the keys that
    `BehavioralPriorWrapper` documents for chunks; a reset tells the same keys.

    Args:
        env: Env with a Box action space (A,). The action space becomes (H, A).
        horizon: H, at least 1: the prior's.
        gamma: Discount of an env step within a chunk, in [0, 1].

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

    def __init__(self, env: gym.Env[Any, AnyArray], horizon: int, *, gamma: float = 1.0) -> None:
        require_count("horizon", horizon)
        self._gamma = check_discount(gamma)
        box = env.action_space
        if not isinstance(box, spaces.Box) or len(box.shape) != 1:
            raise InvalidArgumentError(f"Expected an env with a Box action space (A,), got {box}.")
        RecordConstructorArgs.__init__(self, horizon=horizon, gamma=gamma)
        gym.Wrapper.__init__(self, env)
        low, high = (np.tile(edge, (horizon, 1)) for edge in (box.low, box.high))
        self._chunk = spaces.Box(low, high, dtype=box.dtype.type)
        self.action_space = self._chunk

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, nothing_executed(info, np.zeros(self._chunk.shape, self._chunk.dtype))

    def step(self, action: AnyArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute a chunk (H, A).

        Raises:
            InvalidArgumentError: It has another shape, or is no array of numbers. The env is not
                stepped.
        """
        chunk = number_array("actions", action, InvalidArgumentError)
        if chunk.shape != self._chunk.shape:
            raise InvalidArgumentError(
                f"Expected a chunk of actions of shape {self._chunk.shape}, got {chunk.shape}."
            )
        return execute_chunk(self.env, chunk.astype(self._chunk.dtype), gamma=self._gamma)
