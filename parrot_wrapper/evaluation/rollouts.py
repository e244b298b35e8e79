"""Roll a policy out over held-out episodes and score it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

from parrot_wrapper.checks import check_fields, require_count, require_instance
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.types import UNSAFE_KEY, AnyArray, told_success
from parrot_wrapper.wrappers.chunk import executed_steps

ActFunction = Callable[[Any], AnyArray]
"""From one observation of the env to one action of the env."""
StepWatcher = Callable[[gym.Env[Any, Any], Any, dict[str, Any]], None]
"""Called with env, observation and info after each reset and step (a chunk is one step)."""

HELD_OUT_SEED = 1_000_000
"""Evaluation episode k is reset with this plus k; RL training uses seeds from 2**31 on."""
MAX_STEPS = 10_000
"""An env that neither ends nor truncates an episode by then is refused."""


@runtime_checkable
class Model(Protocol):
    """What `evaluate` asks of a trained model; every one of Stable-Baselines3 is such."""

    def predict(
        self, observation: Any, state: Any = None, *, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """The action for one observation, and the model's state, None for one without."""


class AgentPolicy:
    """A Stable-Baselines3 model as a policy: `evaluate` makes one, `film` and `trace` take it.

    Args:
        model: The trained model; one with a state, such as RecurrentPPO, keeps it in an episode.
        deterministic: Take the middle of its distribution instead of a sample.
    """

    def __init__(self, model: Model, *, deterministic: bool = True) -> None:
        self._model, self._deterministic = model, deterministic
        self._state: Any = None

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._state = None

    def __call__(self, observation: Any) -> AnyArray:
        """The action for one observation of the env that the model was trained in."""
        told = {} if self._state is None else {"state": self._state}
        action, self._state = self._model.predict(
            observation, deterministic=self._deterministic, **told
        )
        return np.asarray(action)


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
        unsafe: Unsafe events, by `info["unsafe"]`; None where the env does not tell.
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
    unsafe: int | None = None


@dataclass(frozen=True)
class EvaluationResult:
    """Outcomes of a policy over held-out episodes.

    Attributes:
        episodes: One outcome each, in order of seed; at least one.

    Example:
        >>> outcome = EpisodeOutcome(1_000_000, 25, 3.0, success=True, success_once=True)
        >>> result = EvaluationResult((outcome,))
        >>> result.success.value
        1.0
        >>> print(result)
        success 1.00 [0.21, 1.00], at some time 1.00 [0.21, 1.00], mean return 3.00 (1 episode)
    """

    episodes: tuple[EpisodeOutcome, ...]

    def __post_init__(self) -> None:
        if not self.episodes:
            raise InvalidArgumentError("An evaluation needs at least one episode, got none.")

    def __str__(self) -> str:
        """The rates of success, where the env tells of it, and the mean return."""
        rates = f"success {self.success}, at some time {self.success_once}"
        told = rates if self.tells_success else "no word of success from the env"
        count = len(self.episodes)
        return f"{told}, mean return {self.mean_return:.2f} ({count} episode{'s' * (count > 1)})"

    __repr__ = __str__

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

    @property
    def unsafe_per_1000(self) -> float | None:
        """Unsafe events in 1,000 env steps; None where the env does not tell."""
        told = [(e.unsafe, e.steps) for e in self.episodes if e.unsafe is not None]
        events, steps = map(sum, zip(*told, strict=True)) if told else (0, 0)
        return 1_000.0 * events / steps if steps else None

    def to_dict(self) -> dict[str, Any]:
        """Rates and per-episode rows, JSON-able."""
        rates = {what: self.share(what) for what in ("lifted", "placed", "touched")}
        return {
            "success": self.success.to_dict(),
            "success_once": self.success_once.to_dict(),
            **{f"any_{what}": rate.to_dict() if rate else None for what, rate in rates.items()},
            "mean_return": self.mean_return,
            "unsafe_per_1000": self.unsafe_per_1000,
            "rows": [asdict(episode) for episode in self.episodes],
        }


def evaluate(
    policy: Model | ActFunction,
    env: gym.Env[Any, Any],
    *,
    episodes: int = 100,
    seed: int = HELD_OUT_SEED,
    deterministic: bool = True,
    on_reset: Callable[[int], None] | None = None,
    watch: StepWatcher | None = None,
    progress: str | None = None,
) -> EvaluationResult:
    """Score a policy on held-out episodes: each is reset with its own seed and counted once.

    Args:
        policy: A model of Stable-Baselines3, or a function from an observation to an action.
        env: An env that tells of success in `info`, wrapped as in training. Not closed.
        episodes: How many, >= 1.
        seed: Episode k is reset with `seed + k`.
        deterministic: Of a model, take the middle of its distribution instead of a sample.
        on_reset: Called with an episode's seed after its reset; by default the `begin` of a policy
            that has one.
        watch: Sees everything, e.g. to record a GIF.
        progress: Label of a progress bar, None for no bar.

    Returns:
        The outcomes; `print` shows success with its 95 % interval.

    Raises:
        InvalidArgumentError: No episodes, no single env, or an episode that does not end.
        SpaceMismatchError: The model acts in another space than the env.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("Pendulum-v1", max_episode_steps=3)
        >>> print(evaluate(lambda observation: env.action_space.high, env, episodes=2))
        no word of success from the env, mean return -2.13 (2 episodes)
    """
    require_count("episodes", episodes)
    require_instance("env", env, gym.Env, "a single gymnasium.Env, wrapped as in training")
    act = _act_function(policy, env, deterministic)
    begin = on_reset or getattr(act, "begin", None)
    outcomes = []
    for episode_seed in _counted(range(seed, seed + episodes), progress):
        observation, info = env.reset(seed=episode_seed)
        if begin is not None:
            begin(episode_seed)
        outcomes.append(_episode(act, env, observation, info, episode_seed, watch))
    return EvaluationResult(tuple(outcomes))


def _act_function(
    policy: Model | ActFunction, env: gym.Env[Any, Any], deterministic: bool
) -> ActFunction:
    if not isinstance(policy, Model):
        if not callable(policy):
            raise InvalidArgumentError(
                "Expected a model with predict(observation, deterministic=...) or a function from "
                f"an observation to an action, got {policy!r}."
            )
        return policy
    space = getattr(policy, "action_space", env.action_space)
    if space != env.action_space:
        raise SpaceMismatchError(
            f"The model acts in {space}, the env in {env.action_space}: pass the env wrapped as in "
            "training."
        )
    return AgentPolicy(policy, deterministic=deterministic)


def _counted(seeds: Iterable[int], label: str | None) -> Iterable[int]:
    """The seeds, beside a progress bar where there is a label."""
    if label is None:
        return seeds
    from tqdm import tqdm  # not needed without a bar

    bar: Iterable[int] = tqdm(seeds, desc=label, unit="episode")
    return bar


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
    unsafe: int | None = None
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
            if UNSAFE_KEY in step_info:
                unsafe = (unsafe or 0) + len(step_info[UNSAFE_KEY])
            for what in seen:
                if what in step_info:
                    seen[what] = bool(seen[what]) or bool(step_info[what])
        if terminated or truncated:
            success = bool(told_success(info))
            return EpisodeOutcome(
                seed, steps, total, success, once, **seen, success_told=told, unsafe=unsafe
            )
    raise InvalidArgumentError(
        f"Episode with seed {seed} did not end within {MAX_STEPS} steps; "
        "wrap the env in gymnasium.wrappers.TimeLimit."
    )


_Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Rate:
    """A share of episodes with its 95 % Wilson interval.

    Attributes:
        hits: Episodes that counted, 0 to `total`.
        total: Episodes, at least 1.

    Raises:
        InvalidArgumentError: The counts are impossible.

    Example:
        >>> rate = Rate(50, 100)
        >>> rate.value, [round(end, 2) for end in rate.interval]
        (0.5, [0.4, 0.6])
        >>> str(rate)
        '0.50 [0.40, 0.60]'
    """

    hits: int
    total: int

    def __post_init__(self) -> None:
        check_fields(self)
        if not (self.total >= 1 and 0 <= self.hits <= self.total):
            raise InvalidArgumentError(
                f"Expected 0 <= hits <= total and at least one episode, "
                f"got {self.hits} of {self.total}."
            )

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval (Wilson 1927), within [0, 1]."""
        n, p = self.total, self.value
        scale = 1.0 + _Z95**2 / n
        centre = (p + _Z95**2 / (2 * n)) / scale
        half = _Z95 / scale * math.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def to_dict(self) -> dict[str, float | int]:
        """Value, interval and episodes, JSON-able."""
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high, "episodes": self.total}

    def __str__(self) -> str:
        """Value and interval with two decimals."""
        low, high = self.interval
        return f"{self.value:.2f} [{low:.2f}, {high:.2f}]"
