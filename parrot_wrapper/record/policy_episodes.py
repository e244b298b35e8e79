"""Record any policy in any Gymnasium env: demonstrations for a prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike
from tqdm import tqdm

from parrot_wrapper.checks import float_array, number_array
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.surroundings import quiet_floats, quiet_underflow
from parrot_wrapper.types import KEYS_FACT, PIXELS_FACT, AnyArray, OffersCamera, told_success
from parrot_wrapper.wrappers.chunk import one_reward
from parrot_wrapper.wrappers.reader import (
    ImageKeys,
    Keys,
    ObservationReader,
    reader_of_space,
    with_batch_axis,
)

Env = gym.Env[Any, Any]
Policy = Callable[[Any], ArrayLike]
"""From the env's observation, as it is, to an action (A,)."""

_HOPELESS = 20
"""Attempts for each episode to keep, after which recording gives up."""


def record_policy(
    env: Env,
    policy: Policy,
    *,
    episodes: int,
    noise: float = 0.1,
    seed: int = 0,
    only_successes: bool = True,
    image_key: ImageKeys = None,
    proprio_key: Keys = None,
    state_key: Keys = None,
    progress: bool = False,
) -> EpisodeDataset:
    """Run a policy and keep its episodes, with what a prior should look at.

    Success is the last step's `info["is_success"]` or `info["success"]`. The keys are remembered in
    the data's metadata and by every prior that `fit_prior` trains on them, so that wrappers know
    them too.

    Args:
        env: Any env with a bounded Box action space and episodes that end.
        policy: Asked once a step.
        episodes: How many to keep, >= 1.
        noise: Standard deviation of Gaussian noise on the policy's actions, in half-widths of the
            action box. A prior of noiseless actions is narrow and hard to steer; 0 for a policy
            that varies by itself.
        seed: Attempt k is reset with `seed + k`; the noise follows from it too.
        only_successes: Drop episodes whose info says that they failed.
        image_key: Where a Dict observation has the image that the prior is to look at; several
            keys for several cameras, which keep their names. Where no key is given at all, these
            are "image", "proprio" and "state", and all images where there are several.
        proprio_key: Where it has the proprioception; several keys are joined in this order.
        state_key: Where it has the state; several keys are joined in this order.
        progress: Show a progress bar.

    Raises:
        SpaceMismatchError: The observations are not what a prior can look at.
        InvalidArgumentError: The action space is no bounded Box, or a number is out of range.
        DataError: The policy hardly ever succeeds, or its actions have another shape.

    Example:
        >>> env = gym.make("Pendulum-v1", max_episode_steps=5)
        >>> record_policy(env, lambda observation: [-observation[2]], episodes=2)
        EpisodeDataset(episodes=2, steps=10, observations={state: (3,)}, action_dim=1)
    """
    if episodes < 1 or not noise >= 0.0 or seed < 0:
        raise InvalidArgumentError(
            f"Expected episodes >= 1, noise >= 0 and seed >= 0, got {episodes}, {noise} and {seed}."
        )
    box = bounded_box(env)
    reader = reader_of_space(
        env.observation_space, image=image_key, proprio=proprio_key, state=state_key
    )
    kept: list[Episode] = []
    with tqdm(total=episodes, unit=" kept", desc="record", disable=not progress) as bar:
        for attempt in range(_HOPELESS * episodes):
            episode, success = _one_episode(env, policy, reader, box, noise, seed + attempt)
            if success is not False or not only_successes:
                kept.append(episode)
                bar.update()
            if len(kept) == episodes:
                break
        else:
            raise DataError(
                f"Expected {episodes} successful episodes, got {len(kept)} in "
                f"{_HOPELESS * episodes} attempts. Improve the policy, lower the noise ({noise}), "
                "or take only_successes=False."
            )
    metadata = {"settings": recording_settings(env, noise, seed), **reading_facts(reader)}
    return EpisodeDataset.from_episodes(
        kept, action_low=box.low, action_high=box.high, metadata=metadata
    )


def _one_episode(
    env: Env, policy: Policy, reader: ObservationReader, box: spaces.Box, noise: float, seed: int
) -> tuple[Episode, bool | None]:
    """The episode, and whether it succeeded; None where the env does not tell."""
    rng = np.random.default_rng([seed, 1])
    observation, info = env.reset(seed=seed)
    seen, actions, rewards = [read_parts(reader, observation)], [], []
    ended = False
    while not ended:
        action = noisy(_checked(policy(observation), box), box, noise, rng)
        actions.append(float_array("action", action, DataError).copy())
        with quiet_underflow():
            observation, reward, terminated, truncated, info = env.step(action)
        rewards.append(one_reward(reward))
        seen.append(read_parts(reader, observation))
        ended = terminated or truncated
    success = told_success(info)
    rows = {part: np.concatenate([row[part] for row in seen]) for part in seen[0]}
    episode = Episode(rows, np.stack(actions), np.array(rewards), success is not False, seed)
    return episode, success


def read_parts(reader: ObservationReader, observation: Any) -> dict[str, AnyArray]:
    """Copies, since some envs write the next observation into the same array."""
    parts = reader.parts(with_batch_axis(observation))
    return {part: array.copy() for part, array in parts.items()}


def _checked(action: object, box: spaces.Box) -> AnyArray:
    """What the policy returned, in float64."""
    hint = ""
    if isinstance(action, tuple):  # as model.predict returns it
        hint = " Of a pair (action, state) return the action, as model.predict(observation)[0]."
    try:
        array = number_array("the policy's action", action, DataError)
    except DataError as error:
        raise DataError(f"{error}{hint}") from error
    if array.shape != box.shape or not np.isfinite(array).all():
        raise DataError(
            f"Expected finite actions of shape {box.shape} from the policy, got shape "
            f"{array.shape}: {array!r}.{hint}"
        )
    return array.astype(np.float64)


def reading_facts(reader: ObservationReader) -> dict[str, Any]:
    """What metadata say of how the env's observations were read."""
    keys = {part: list(names) for part, names in reader.keys.items() if names is not None}
    facts = {KEYS_FACT: keys, PIXELS_FACT: reader.pixels}
    return {fact: told for fact, told in facts.items() if told}


@quiet_floats()
def noisy(action: AnyArray, box: spaces.Box, noise: float, rng: np.random.Generator) -> AnyArray:
    """The action (A,) with Gaussian noise, in half-widths of the box, and within it."""
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    drawn = action + noise * (high / 2 - low / 2) * rng.standard_normal(box.shape)
    clipped: AnyArray = np.clip(drawn, low, high).astype(box.dtype)
    return clipped


def bounded_box(env: Env) -> spaces.Box:
    """The env's action space if actions in it can be recorded."""
    box = env.action_space
    if not isinstance(box, spaces.Box) or not box.is_bounded() or len(box.shape) != 1:
        raise InvalidArgumentError(
            f"Expected a bounded Box (A,) as the action space, got {box}. "
            "gymnasium.wrappers.TransformAction can make one."
        )
    return box


def recording_settings(env: Env, noise: float, seed: int) -> dict[str, Any]:
    """What the episodes depend on: the env, its camera, noise and seeds."""
    settings: dict[str, Any] = {"noise": noise, "base_seed": seed}
    if env.spec is not None:
        settings["env_id"] = env.spec.id
    inner = env.unwrapped
    if isinstance(inner, OffersCamera):
        settings["camera"] = inner.camera_spec()
    return settings
