"""Several env steps for one decision: a prior's chunk of actions, executed and told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from parrot_wrapper.checks import is_number, number_array
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import ActionPrior, AnyArray, DecodesClosedLoop

CHUNK_OVER = "parrot/over"
"""Whether the episode is, where the actions of a chunk are taken one by one."""
_STEPS, _REWARDS, _INFOS = "parrot/env_steps", "parrot/rewards", "parrot/infos"
CHUNK_KEYS = ("parrot/action", _STEPS, _REWARDS, _INFOS)
"""What tells of the env steps of a chunk; the same keys, shapes and dtypes whatever happened."""


def check_discount(gamma: float) -> float:
    """The discount within a chunk if it is one."""
    if not is_number(gamma) or not 0.0 <= gamma <= 1.0:
        raise InvalidArgumentError(
            f"Expected gamma, the discount of an env step within a chunk, in [0, 1], got {gamma!r}."
        )
    return gamma


class Chunks(NamedTuple):
    """Recorded steps, cut into what one latent drives.

    Attributes:
        first: (M,) int, the step that each begins with.
        steps: (M,) int, how many of its steps were recorded: H, or fewer at an episode's end.
        actions: (M, H, A); what an episode's end leaves of one repeats the last action.
    """

    first: AnyArray
    steps: AnyArray
    actions: AnyArray


def chunks_of(actions: AnyArray, episodes: AnyArray, horizon: int) -> Chunks:
    """Cut episodes into chunks, from their first steps on.

    Args:
        actions: (N, A) of all steps.
        episodes: (N,) which episode each belongs to; those of one stand together.
        horizon: H.

    Example:
        >>> chunks = chunks_of(np.arange(5)[:, None], np.array([0, 0, 0, 1, 1]), 2)
        >>> chunks.first.tolist(), chunks.steps.tolist(), chunks.actions[1, :, 0].tolist()
        ([0, 2, 3], [2, 1, 2], [2, 2])
    """
    begins = np.flatnonzero(np.r_[True, episodes[1:] != episodes[:-1]])[: len(actions)]
    ends = np.r_[begins[1:], len(actions)]
    first = np.concatenate([np.arange(*span, horizon) for span in zip(begins, ends, strict=True)])
    end = ends[np.searchsorted(begins, first, side="right") - 1]
    rows = np.minimum(first[:, None] + np.arange(horizon), end[:, None] - 1)
    return Chunks(first, np.minimum(end - first, horizon), actions[rows])


def closed_loop(prior: ActionPrior) -> DecodesClosedLoop | None:
    """The prior if it decodes the actions of a chunk one by one, each for what is newly seen."""
    if not isinstance(prior, DecodesClosedLoop) or prior.horizon == 1:
        return None
    return prior if getattr(prior, "closed_loop", True) else None


def execute_chunk(
    env: gym.Env[Any, AnyArray],
    actions: AnyArray,
    *,
    gamma: float,
    before_step: Callable[[int, Any], None] | None = None,
) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """Execute actions until they are used up or the episode ends.

    To the agent this is one step of a semi-Markov decision process (Sutton et al. 1999), whose
    reward is sum_k gamma^k r_k. What an episode's end leaves of the chunk is dropped.

    Args:
        env: The env.
        actions: (H, A), each within the env's box.
        gamma: Discount of an env step.
        before_step: Called before each step but the first, with how many are done and the newest
            observation; it may write the next actions. None for an open loop.

    Returns:
        As of `Env.step`: last observation, reward, terminated, truncated, and the last step's info
        with "parrot/env_steps" (n, how many were executed), "parrot/action" (H, A) and
        "parrot/rewards" (H,), zeros after n, and "parrot/infos", a dict of what the infos of the
        n steps told: each key in an array with a first axis of H steps, with zeros where a step did
        not tell it and after n. What is neither numbers nor arrays of one shape is in a tuple of
        length H, with "" there for text and None for anything else.
    """
    rewards: list[float] = []
    infos: list[dict[str, Any]] = []
    observation: Any = None
    for step in range(len(actions)):
        if step and before_step is not None:
            before_step(step, observation)
        observation, reward, terminated, truncated, info = env.step(actions[step].copy())
        rewards.append(one_reward(reward))
        infos.append(info)
        if terminated or truncated:
            break
    told = {**info, **told_of_chunk(actions, rewards, infos)}
    return observation, discounted(rewards, gamma), terminated, truncated, told


def one_reward(reward: Any) -> float:
    """The reward of a step, which some envs give in an array of one."""
    array = number_array("reward", reward, InvalidArgumentError)
    if array.size != 1:
        raise InvalidArgumentError(f"Expected one reward for a step, got shape {array.shape}.")
    return float(array.item())


def discounted(rewards: Sequence[float], gamma: float) -> float:
    """The reward of a chunk: sum_k gamma^k r_k."""
    return sum(gamma**k * reward for k, reward in enumerate(rewards))


def nothing_executed(info: Mapping[str, Any], actions: AnyArray) -> dict[str, Any]:
    """The info of a reset, with the keys of a step's: no env step, and zeros like `actions`.

    Args:
        info: What the env's reset told; steps are taken to tell the same keys.
        actions: Any chunk (H, A).
    """
    return {**info, **told_of_chunk(actions, [], [info])}


def env_steps(info: Mapping[str, Any]) -> int:
    """How many env steps one step of a wrapped env took: 1 without chunks.

    Example:
        >>> env_steps({"parrot/env_steps": 10}), env_steps({})
        (10, 1)
    """
    return int(info.get(_STEPS, 1))


def executed_steps(
    reward: float, info: Mapping[str, Any]
) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """Reward, undiscounted, and info of each env step behind one step of a wrapped env.

    Args:
        reward: What that step returned.
        info: The same.
    """
    if _STEPS not in info:
        yield reward, info
        return
    for step in range(env_steps(info)):
        yield float(info[_REWARDS][step]), _of_step(info[_INFOS], step)


def told_of_chunk(
    actions: AnyArray, rewards: Sequence[float], infos: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What `execute_chunk` adds to the last info: of chunk (H, A), rewards and infos so far."""
    steps, horizon = len(rewards), len(actions)
    executed = np.zeros_like(actions)
    executed[:steps] = actions[:steps]
    padded = np.zeros(horizon)
    padded[:steps] = rewards
    return dict(
        zip(CHUNK_KEYS, (executed, steps, padded, _stacked(infos, horizon, steps)), strict=True)
    )


def _stacked(infos: Sequence[Mapping[str, Any]], horizon: int, steps: int) -> dict[str, Any]:
    """The infos of the first `steps`, each key with an axis of H steps; others only show keys."""
    told: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        values = {step: info[key] for step, info in enumerate(infos) if key in info}
        if all(isinstance(value, dict) for value in values.values()):
            inner = [values.get(step, {}) for step in range(len(infos))]
            told[key] = _stacked(inner, horizon, steps)
        else:
            told[key] = _column(values, horizon, steps)
    return told


def _column(values: Mapping[int, Any], horizon: int, steps: int) -> AnyArray | tuple[Any, ...]:
    """Numbers and arrays of one shape in an array of theirs, anything else in a tuple."""
    arrays = [np.asarray(v) for v in values.values() if not isinstance(v, str | list | tuple)]
    numbers = [array for array in arrays if array.dtype.kind in "biufc"]
    if len(numbers) < len(values) or len({array.shape for array in numbers}) > 1:
        nothing = "" if all(isinstance(value, str) for value in values.values()) else None
        told = {step: value for step, value in values.items() if step < steps}
        return tuple(told.get(step, nothing) for step in range(horizon))
    column = np.zeros((horizon, *numbers[0].shape), np.result_type(*numbers))
    for step, value in values.items():
        if step < steps:
            column[step] = value
    return column


def _of_step(stacked: Mapping[str, Any], step: int) -> dict[str, Any]:
    """The info of one step out of `_stacked`."""
    told = {
        key: _of_step(values, step) if isinstance(values, dict) else values[step]
        for key, values in stacked.items()
    }
    return {key: value for key, value in told.items() if value is not None}
