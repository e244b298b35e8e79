"""Discrete beside continuous actions in one box, for priors, which are over numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import AnyArray, FloatArray, flat_parts
from parrot_wrapper.wrappers.reader import flat_space


class BoxActions(gym.ActionWrapper[Any, AnyArray, Any], RecordConstructorArgs):
    """One Box (A,) float32 for the actions of an env that has several kinds of them.

    Numbers of a Box stay as they are. Each bit of MultiBinary, and a Discrete of two, is a number
    in [-1, 1] of which the sign counts; any other Discrete, and each part of MultiDiscrete, is one
    number in [-1, 1] for each choice, of which the largest wins. So a prior can learn all of it
    from demonstrations, some noise on the numbers of the choices included.

    Args:
        env: Env whose action space is one of these, or a Dict or Tuple of them, also nested.

    Raises:
        InvalidArgumentError: A part of the action space is of another kind.

    Example:
        >>> both = spaces.Dict(arm=spaces.Box(-2, 2, (2,)), tool=spaces.Discrete(3, start=1))
        >>> env = gym.make("Pendulum-v1")
        >>> env.action_space = both  # as another env would have it
        >>> env = BoxActions(env)
        >>> env.action_space.shape
        (5,)
        >>> env.action(np.array([0.5, -1.5, -0.2, 0.9, 0.1], np.float32))
        {'arm': array([ 0.5, -1.5], dtype=float32), 'tool': 2}
        >>> env.numbers({"arm": [0.5, -1.5], "tool": 2})
        array([ 0.5, -1.5, -1. ,  1. , -1. ], dtype=float32)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ActionWrapper.__init__(self, env)
        whole = flat_space(env.action_space)
        parts = whole.spaces if isinstance(whole, spaces.Dict) else {"": whole}
        edges = [_edges(part) for part in parts.values()]
        low, high = (np.concatenate(side, dtype=np.float32) for side in zip(*edges, strict=True))
        ends = np.cumsum([len(edge) for edge, _ in edges])
        self._parts = {
            name: (part, slice(end - len(edge), end))
            for (name, part), end, (edge, _) in zip(parts.items(), ends, edges, strict=True)
        }
        self.action_space = spaces.Box(low, high, dtype=np.float32)

    def action(self, action: AnyArray) -> Any:
        """The env's own action for the numbers (A,) of the box."""
        return self._nested(self.env.action_space, np.asarray(action), "")

    def numbers(self, action: Any) -> FloatArray:
        """The numbers (A,) for an action of the env's own, such as a demonstration's."""
        nested = isinstance(action, Mapping | tuple)
        parts = flat_parts(action) if nested else {"": action}
        found = [_numbers(part, parts[name]) for name, (part, _) in self._parts.items()]
        return np.concatenate(found).astype(np.float32)

    def _nested(self, space: spaces.Space[Any], action: AnyArray, name: str) -> Any:
        before = f"{name}/" if name else ""
        if isinstance(space, spaces.Dict):
            return {key: self._nested(s, action, f"{before}{key}") for key, s in space.items()}
        if isinstance(space, spaces.Tuple):
            inner = enumerate(space.spaces)
            return tuple(self._nested(s, action, f"{before}{index}") for index, s in inner)
        part, where = self._parts[name]
        return _own(part, action[where])


def _choices(space: spaces.Space[Any]) -> list[int] | None:
    """How many choices there are in each part; None where it is not discrete."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    return space.nvec.reshape(-1).tolist() if isinstance(space, spaces.MultiDiscrete) else None


def _edges(space: spaces.Space[Any]) -> tuple[AnyArray, AnyArray]:
    choices = _choices(space)
    if choices is not None:
        ones = np.ones(sum(1 if count == 2 else count for count in choices))
        return -ones, ones
    if not isinstance(space, spaces.Box):
        raise InvalidArgumentError(
            "Expected actions of Box, Discrete, MultiDiscrete and MultiBinary, also in Dict and "
            f"Tuple, got {space}."
        )
    return space.low.reshape(-1), space.high.reshape(-1)


def _own(space: spaces.Space[Any], numbers: AnyArray) -> Any:
    counts = _choices(space)
    if counts is None:
        return numbers.reshape(space.shape).astype(space.dtype)
    chosen, first = [], 0
    for count in counts:
        size = 1 if count == 2 else count
        own, first = numbers[first : first + size], first + size
        chosen.append(int(own[0] > 0.0) if count == 2 else int(own.argmax()))
    if isinstance(space, spaces.Discrete):
        return int(space.start) + chosen[0]
    start = space.start.reshape(-1) if isinstance(space, spaces.MultiDiscrete) else 0
    return (np.array(chosen) + start).reshape(space.shape).astype(space.dtype)


def _numbers(space: spaces.Space[Any], value: Any) -> AnyArray:
    counts = _choices(space)
    flat = np.asarray(value).reshape(-1)
    if counts is None:
        return flat
    chosen = flat - np.reshape(getattr(space, "start", 0), -1)
    rows = [
        np.array([2.0 * own - 1.0]) if count == 2 else 2.0 * np.eye(count)[int(own)] - 1.0
        for own, count in zip(chosen, counts, strict=True)
    ]
    return np.concatenate(rows)
