"""Roll a policy out over held-out episodes and score it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from parrot_wrapper.argument_checks import require_count
from parrot_wrapper.chunk import executed_steps
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.evaluation.rates import Rate
from parrot_wrapper.success import told_success
from parrot_wrapper.types import AnyArray

ActFunction = Callable[[Any], AnyArray]
"""From one observation of the env to one action of the env."""
StepWatcher = Callable[[gym.Env[Any, Any], Any, dict[str, Any]], None]
"""Called with env, observation and info after each reset and step (a chunk is one step)."""

HELD_OUT_SEED = 1_000_000
"""Evaluation episode k is reset with this plus k; RL training uses seeds from 2**31 on."""
MAX_STEPS = 10_000
"""An env that neither ends nor truncates an episode by then is refused."""


@dataclass(frozen=True)
class EpisodeOutcome:
    """How one episode went.

    Attributes:
        seed: Seed of its reset.
        steps: Env steps, those within chunks included.
        episode_return: Undiscounted sum of rewards.
        success: `info["is_success"]`, or `info["success"]`, on the last step.
        success_once: The same on any step.
        lifted: Any object lifted on any step; None where the env does not tell.
        placed: Any object placed on any step; None where the env does not tell.
        touched: Any object touched on any step; None where the env does not tell.
        success_told: Whether the env told of success on any step; where not, both are False.
    """

    seed: int
    steps: int
    episode_return: float
    success: bool
    success_once: bool
    lifted: bool | None = None
    placed: bool | None = None
    touched: bool | None = None
    success_told: bool = True


@dataclass(frozen=True)
class EvaluationResult:
    """Outcomes of a policy over held-out episodes.

    Attributes:
        episodes: One outcome each, in order of seed; at least one.

    Example:
        >>> outcome = EpisodeOutcome(1_000_000, 25, 3.0, success=True, success_once=True)
        >>> EvaluationResult((outcome,)).success.value
        1.0
    """

    episodes: tuple[EpisodeOutcome, ...]

    def __post_init__(self) -> None:
        if not self.episodes:
            raise InvalidArgumentError("An evaluation needs at least one episode, got none.")

    @property
    def success(self) -> Rate:
        """Share of episodes that succeeded at their end."""
        return Rate(sum(episode.success for episode in self.episodes), len(self.episodes))

    @property
    def success_once(self) -> Rate:
        """Share of episodes that succeeded on any step."""
        return Rate(sum(episode.success_once for episode in self.episodes), len(self.episodes))

    @property
    def tells_success(self) -> bool:
        """Whether the env tells of success at all."""
        return any(episode.success_told for episode in self.episodes)

    @property
    def mean_return(self) -> float:
        """Mean undiscounted return."""
        return float(np.mean([episode.episode_return for episode in self.episodes]))

    def share(self, what: str) -> Rate | None:
        """Share of episodes with "lifted", "placed" or "touched", None where the env is silent."""
        known = [getattr(episode, what) for episode in self.episodes]
        told = [bool(value) for value in known if value is not None]
        return Rate(sum(told), len(told)) if told else None

    def to_dict(self) -> dict[str, Any]:
        """Rates and per-episode rows, JSON-able."""
        rates = {what: self.share(what) for what in ("lifted", "placed", "touched")}
        return {
            "success": self.success.to_dict(),
            "success_once": self.success_once.to_dict(),
            **{f"any_{what}": rate.to_dict() if rate else None for what, rate in rates.items()},
            "mean_return": self.mean_return,
            "rows": [asdict(episode) for episode in self.episodes],
        }


def evaluate(
    act: ActFunction,
    env: gym.Env[Any, Any],
    *,
    episodes: int = 100,
    seed: int = HELD_OUT_SEED,
    on_reset: Callable[[int], None] | None = None,
    watch: StepWatcher | None = None,
    progress: str | None = None,
) -> EvaluationResult:
    """Score a policy: each episode is reset with its own held-out seed and counted once.

    Args:
        act: The policy.
        env: An env that tells of success in `info`, wrapped as the policy needs it. Not closed.
        episodes: How many, >= 1.
        seed: Episode k is reset with `seed + k`.
        on_reset: Called with an episode's seed after its reset; for policies with state.
        watch: Sees everything, e.g. to record a GIF.
        progress: Label of a progress bar, None for no bar.

    Raises:
        InvalidArgumentError: No episodes, or an episode that does not end.
    """
    require_count("episodes", episodes)
    seeds = range(seed, seed + episodes)
    outcomes = []
    for episode_seed in tqdm(seeds, desc=progress, unit="episode", disable=progress is None):
        observation, info = env.reset(seed=episode_seed)
        if on_reset is not None:
            on_reset(episode_seed)
        outcomes.append(_episode(act, env, observation, info, episode_seed, watch))
    return EvaluationResult(tuple(outcomes))


def _episode(
    act: ActFunction,
    env: gym.Env[Any, Any],
    observation: Any,
    info: dict[str, Any],
    seed: int,
    watch: StepWatcher | None,
) -> EpisodeOutcome:
    steps, total, once, told = 0, 0.0, False, False
    seen: dict[str, bool | None] = {"lifted": None, "placed": None, "touched": None}
    if watch is not None:
        watch(env, observation, info)
    while steps < MAX_STEPS:
        observation, reward, terminated, truncated, info = env.step(act(observation))
        if watch is not None:
            watch(env, observation, info)
        for step_reward, step_info in executed_steps(float(reward), info):
            steps += 1
            total += step_reward
            done = told_success(step_info)
            once, told = once or bool(done), told or done is not None
            for what in seen:
                if what in step_info:
                    seen[what] = bool(seen[what]) or bool(step_info[what])
        if terminated or truncated:
            success = bool(told_success(info))
            return EpisodeOutcome(seed, steps, total, success, once, **seen, success_told=told)
    raise InvalidArgumentError(
        f"Episode with seed {seed} did not end within {MAX_STEPS} steps; "
        "wrap the env in gymnasium.wrappers.TimeLimit."
    )
