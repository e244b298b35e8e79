"""Demonstrations as an agent behind a prior would have seen them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import SpaceMismatchError
from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, Observations
from parrot_wrapper.wrappers.memory import recalled
from parrot_wrapper.wrappers.spaces import FEATURES_KEY, AgentObservation

_BATCH = 512


class DemonstrationView:
    """Shows rows of the demonstrations as the buffer wants to see observations.

    Attributes:
        rows_of_steps: (N,) the row of each step's observation; the next one is that of the next.
        features: (N + n, F) of every row, once `embed` was called.

    Raises:
        SpaceMismatchError: They do not fit; every disagreement is listed.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        dataset: EpisodeDataset,
        prior: ActionPrior,
        observation: AgentObservation,
        keys: Mapping[str, str],
    ) -> None:
        self._dataset = dataset
        self._prior = prior
        episodes = np.repeat(np.arange(dataset.n_episodes), dataset.lengths)
        self.rows_of_steps = np.arange(dataset.n_steps) + episodes
        shift = dataset.obs_offsets - (dataset.step_offsets + np.arange(dataset.n_episodes))
        self._stored_rows = np.arange(dataset.n_steps + dataset.n_episodes) + np.repeat(
            shift, dataset.lengths + 1
        )
        self.features: FloatArray = np.empty((0, prior.feature_dim), np.float32)
        self._dict = isinstance(space, spaces.Dict)
        offered = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        self._sources: dict[str, str] = {}
        self._transposed: set[str] = set()
        problems = []
        for key, part in offered.items():
            name = self._source(key, observation, keys)
            self._sources[key] = name
            problems += self._disagreements(key, part, name)
        if (FEATURES_KEY in self._sources.values()) != (observation != "image"):
            problems.append(f"observation={observation!r} does not go with {space}")
        if problems:
            raise SpaceMismatchError(
                "The demonstrations do not fit the replay buffer:\n"
                + "\n".join(f"  - {problem}" for problem in problems)
                + "\nSay observation, image_key and proprio_key as to the wrapper."
            )

    def _source(self, key: str, observation: AgentObservation, keys: Mapping[str, str]) -> str:
        if observation == "features" or (key == FEATURES_KEY and observation == "both"):
            return FEATURES_KEY
        if key:
            return keys.get(key, key)
        return "image" if "image" in self._dataset.observations else "state"

    def _disagreements(self, key: str, part: spaces.Space[Any], name: str) -> list[str]:
        where = f"observation[{key!r}]" if key else "observation"
        if name == FEATURES_KEY:
            shape: tuple[int, ...] = (self._prior.feature_dim,)
        elif name in self._dataset.observations:
            shape = self._dataset.observations[name].shape[1:]
        else:
            has = ", ".join(self._dataset.observations)
            return [f"{where}: expected {name!r} in the data, which have {has}"]
        if name == "image" and part.shape == (shape[-1], *shape[:-1]) != shape:
            self._transposed.add(key)
        elif part.shape != shape:
            return [f"{where}: the buffer takes {part.shape}, the demonstrations have {shape}"]
        if (name == "image") != (part.dtype == np.uint8):
            return [f"{where}: the buffer takes {part.dtype}, not what {name!r} is in the data"]
        return []

    def embed(self) -> None:
        """Compute the features of all rows, in batches."""
        wanted = self._prior.observation_spec
        named = {"image": wanted.image, "proprio": wanted.proprio, "state": wanted.state}
        parts = [name for name, shape in named.items() if shape]
        missing = [name for name in parts if name not in self._dataset.observations]
        if missing:
            raise SpaceMismatchError(
                f"Expected {', '.join(missing)} in the data, at which the prior looks, got "
                f"{', '.join(self._dataset.observations)}."
            )
        batches = []
        for start in range(0, len(self._stored_rows), _BATCH):
            rows = self._stored_rows[start : start + _BATCH]
            batch = {name: self._dataset.observations[name][rows] for name in parts}
            seen: Observations = batch if len(batch) > 1 else batch[parts[0]]
            batches.append(self._prior.features(seen))
        self.features = np.concatenate(batches)

    def recall(self, rows: AnyArray, actions: AnyArray, episodes: AnyArray) -> None:
        """Make the features of decisions, and of the last observations, those of a prior's memory.

        Args:
            rows: (M,) of the decisions, in order.
            actions: (M, A) of the decisions, chunks (M, H, A).
            episodes: (M,) whose they are.
        """
        lasts = np.flatnonzero(np.r_[episodes[1:] != episodes[:-1], True]) + 1
        every = np.insert(rows, lasts, np.cumsum(self._dataset.lengths + 1) - 1)
        after = np.insert(actions, lasts, 0, axis=0)  # nothing is done at the last ones
        owners = np.insert(episodes, lasts, episodes[lasts - 1])
        self.features[every] = recalled(self._prior, self.features[every], after, owners)

    def __call__(self, rows: AnyArray) -> Any:
        """What the agent sees in these rows, one for each env."""
        parts = {key: self._part(key, name, rows) for key, name in self._sources.items()}
        return parts if self._dict else parts[""]

    def _part(self, key: str, name: str, rows: AnyArray) -> AnyArray:
        if name == FEATURES_KEY:
            features: AnyArray = self.features[rows]
            return features
        array = self._dataset.observations[name][self._stored_rows[rows]]
        return np.moveaxis(array, -1, 1) if key in self._transposed else array
