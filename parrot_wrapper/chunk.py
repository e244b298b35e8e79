"""Several env steps for one decision: a prior's chunk of actions, executed and told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym

from parrot_wrapper.argument_checks import is_number
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import ActionPrior, AnyArray

_STEPS, _REWARDS, _INFOS = "parrot/env_steps", "parrot/rewards", "parrot/infos"


def check_discount(gamma: float) -> float:
    """The discount within a chunk if it is one.

    Raises:
        InvalidArgumentError: Not in [0, 1].
    """
    if not is_number(gamma) or not 0.0 <= gamma <= 1.0:
        raise InvalidArgumentError(
            f"Expected gamma, the discount of an env step within a chunk, in [0, 1], got {gamma!r}."
        )
    return gamma


def require_single_actions(prior: ActionPrior, who: str) -> None:
    """Refuse a prior of chunks where only single actions can be executed.

    Args:
        prior: The prior.
        who: What cannot execute chunks.

    Raises:
        InvalidArgumentError: The prior's horizon is above 1.
    """
    if prior.horizon > 1:
        raise InvalidArgumentError(
            f"{who} needs a prior of single actions (horizon 1), got horizon {prior.horizon}. "
            "Wrap each env with BehavioralPriorWrapper, before vectorising: it executes chunks, "
            "and uniform actions in it are the prior's samples."
        )


def execute_chunk(
    env: gym.Env[Any, AnyArray], actions: AnyArray, *, gamma: float
) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """Execute actions open loop until they are used up or the episode ends.

    To the agent this is one step of a semi-Markov decision process (Sutton et al. 1999), whose
    reward is sum_k gamma^k r_k. What an episode's end leaves of the chunk is dropped.

    Args:
        env: The env.
        actions: (H, A), each within the env's box.
        gamma: Discount of an env step.

    Returns:
        As of `Env.step`: last observation, reward, terminated, truncated, and the last step's info
        with "parrot/env_steps" (how many were executed), "parrot/rewards" (one float each) and
        "parrot/infos" (one dict each).
    """
    rewards: list[float] = []
    infos: list[dict[str, Any]] = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action.copy())
        rewards.append(float(reward))
        infos.append(info)
        if terminated or truncated:
            break
    total = sum(gamma**k * reward for k, reward in enumerate(rewards))
    told = {_STEPS: len(rewards), _REWARDS: tuple(rewards), _INFOS: tuple(infos)}
    return observation, total, terminated, truncated, {**info, **told}


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
    return zip(info.get(_REWARDS, (reward,)), info.get(_INFOS, (info,)), strict=True)
