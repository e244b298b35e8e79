"""Record episodes of a scripted expert; what the processes of a collection run."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from parrot_wrapper.checks import check_fields, float_array
from parrot_wrapper.data.episodes import Episode, observation_mapping, require_finite
from parrot_wrapper.data.shards import ShardInfo, write_shard
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.io.interruption import deferred_interrupt
from parrot_wrapper.registry import import_packages
from parrot_wrapper.types import AnyArray, FloatArray, OffersExpert, OffersLabels, OffersStray
from parrot_wrapper.wrappers.chunk import one_reward

Env = gym.Env[Any, Any]
Arrays = Mapping[str, AnyArray]
_STEP_LIMIT = 100_000  # an env without time limit would otherwise never come back


@dataclass(frozen=True)
class ExpertSource:
    """Where episodes come from; equal sources give equal episodes.

    Attributes:
        env_id: A registered id; the env's `unwrapped` offers `make_expert`.
        env_kwargs: JSON-able keyword arguments of `gymnasium.make`.
        gym_packages: Modules whose import registers env ids; imported in every worker.
        noise: Standard deviation of the Gaussian noise on the expert's actions, >= 0.
        base_seed: Seed of the first attempt, >= 0.
        shard_attempts: Attempts per shard, >= 1.
        stray_steps: In half of the attempts the env's stray policy acts first, for 1 up to this
            many steps that are not recorded; >= 0. The demonstrations then show the way back from
            where the expert never comes by itself.

    Raises:
        InvalidArgumentError: A number is outside its range.
    """

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    gym_packages: tuple[str, ...] = ()
    noise: float = 0.1
    base_seed: int = 0
    shard_attempts: int = 64
    stray_steps: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_fields(self)
        for name, least in (
            ("noise", 0.0), ("base_seed", 0), ("shard_attempts", 1), ("stray_steps", 0)
        ):  # fmt: skip
            if not getattr(self, name) >= least:
                raise InvalidArgumentError(
                    f"Expected {name} >= {least}, got {getattr(self, name)!r}."
                )

    def make_env(self) -> Env:
        """Import `gym_packages`, make the env and check that it offers an expert.

        Raises:
            MissingExtraError: A module of `gym_packages` cannot be imported.
            InvalidArgumentError: The env offers no scripted expert.
        """
        import_packages(self.gym_packages)
        # the passive checker would warn once in every worker of what gymnasium.make warns of
        env: Env = gym.make(self.env_id, disable_env_checker=True, **self.env_kwargs)
        if not isinstance(env.unwrapped, OffersExpert):
            env.close()
            raise InvalidArgumentError(
                f"Expected an env with a scripted expert (a method make_expert(rng, noise)), "
                f"{self.env_id} has none. Record your own policy into Episode objects instead "
                "and write them with save_dataset."
            )
        if self.stray_steps:
            try:
                _stray_source(env)
            except InvalidArgumentError:
                env.close()
                raise
        return env

    def shard_seeds(self, index: int) -> range:
        """The attempt seeds of shard `index`."""
        start = self.base_seed + index * self.shard_attempts
        return range(start, start + self.shard_attempts)


def record_episode(
    env: Env, seed: int, *, noise: float = 0.1, stray_steps: int = 0
) -> tuple[Episode, bool]:
    """Run a fresh scripted expert for one episode.

    Args:
        env: What it acts in; `env.unwrapped` offers `make_expert` and maybe `privileged_labels`.
        seed: Of the env's reset; the expert draws from `default_rng([seed, 1])`, so that this
            number alone replays the episode.
        noise: Standard deviation of the noise on the expert's actions.
        stray_steps: As in `ExpertSource`; the expert has only the rest of the episode.

    Returns:
        The episode, and whether to keep it: the last `info["keep"]`, or `info["is_success"]`
        where there is no such key.

    Raises:
        DataError: `info` has neither key, or the episode does not end.
    """
    source = env.unwrapped
    rows: dict[str, list[Arrays]] = {"observations": [], "labels": []}
    actions: list[FloatArray] = []
    rewards: list[float] = []

    def observe(observation: Any) -> None:
        # copies: some envs write the next observation into the same array
        rows["observations"].append(_copied(observation_mapping(observation)))
        if isinstance(source, OffersLabels):
            rows["labels"].append(_copied(source.privileged_labels()))

    observation, info = env.reset(seed=seed)
    if stray_steps:
        observation = _go_astray(env, observation, np.random.default_rng([seed, 2]), stray_steps)
    observe(observation)
    if not isinstance(source, OffersExpert):
        raise InvalidArgumentError(f"Expected an env with make_expert, {env} has none.")
    expert = source.make_expert(np.random.default_rng([seed, 1]), noise)
    ended = False
    while not ended:
        actions.append(_action("the expert's action", expert.act()))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        rewards.append(one_reward(reward))
        observe(observation)
        ended = terminated or truncated
        if len(actions) >= _STEP_LIMIT:
            raise DataError(
                f"Expected episodes that end, got {_STEP_LIMIT} steps of {env}. Register the env "
                "with max_episode_steps."
            )
    if "keep" not in info and "is_success" not in info:
        raise DataError(
            "Expected info['keep'] or info['is_success'] on an episode's last step, got the keys "
            f"{sorted(info)}."
        )
    keep = bool(info.get("keep", info.get("is_success")))
    episode = Episode(
        _stacked(rows["observations"]),
        np.stack(actions),
        np.array(rewards),
        bool(info.get("is_success", keep)),
        seed,
        _stacked(rows["labels"]),
    )
    return episode, keep


def _action(name: str, given: object) -> FloatArray:
    action = float_array(name, given, DataError)
    require_finite(name, action)
    return action


def _stray_source(env: Env) -> OffersStray:
    source = env.unwrapped
    if not isinstance(source, OffersStray):
        raise InvalidArgumentError(
            f"Expected an env with a method make_stray(rng), {env} has none. Leave stray_steps at "
            "0, or give the env one."
        )
    return source


def _go_astray(env: Env, observation: Any, rng: np.random.Generator, stray_steps: int) -> Any:
    """Maybe let the stray policy act, 1 to `stray_steps` times; return the last observation."""
    stray = _stray_source(env).make_stray(rng)
    for _ in range(max(0, int(rng.integers(1 - stray_steps, stray_steps + 1)))):
        observation, *_ = env.step(_action("the stray policy's action", stray.act()))
    return observation


def _copied(arrays: Arrays) -> Arrays:
    return {name: array.copy() for name, array in arrays.items()}


def _stacked(rows: list[Arrays]) -> Arrays:
    return {name: np.stack([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def record_shard(env: Env, source: ExpertSource, folder: Path, index: int) -> ShardInfo:
    """Try all seeds of shard `index` and write the episodes that are kept."""
    attempts = (
        record_episode(env, s, noise=source.noise, stray_steps=source.stray_steps)
        for s in source.shard_seeds(index)
    )
    kept = [episode for episode, keep in attempts if keep]
    return write_shard(folder, index, kept, attempts=source.shard_attempts)


class _Last:
    """What a process keeps for its next shard."""

    source: ExpertSource | None = None
    env: Env | None = None


def work_on_shard(source: ExpertSource, folder: Path, index: int) -> ShardInfo:
    """Record shard `index`, in the env that this process had for the one before."""
    with deferred_interrupt() as interruption:
        if _Last.env is None or _Last.source != source:
            if _Last.env is not None:
                _Last.env.close()
            _Last.source, _Last.env = source, source.make_env()
        info = record_shard(_Last.env, source, folder, index)
    if interruption.requested:
        signal.raise_signal(signal.SIGINT)
    return info
