"""A whole data set in memory: concatenated arrays with episode offsets, cheap to draw from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from parrot_wrapper.checks import is_number, require_instance
from parrot_wrapper.data.checks import checked_arrays, checked_box, checked_indices, concatenated
from parrot_wrapper.data.episodes import Episode, limited
from parrot_wrapper.errors import DataError, InvalidArgumentError, require_known
from parrot_wrapper.image_layout import is_images
from parrot_wrapper.surroundings import quiet_floats
from parrot_wrapper.types import (
    REWARDS_FACT,
    SEES_FACT,
    AnyArray,
    FloatArray,
    HasMetadata,
    ImageArray,
    Observations,
    ObservationSpec,
)

IntArray = npt.NDArray[np.int64]


@dataclass(kw_only=True, repr=False, eq=False)
class EpisodeDataset:
    """Episodes of different lengths in RAM; subsets share the images instead of copying them.

    Make one with `load_dataset`, `EpisodeDataset.from_episodes` or `EpisodeDataset.from_arrays`.
    The observation of step t of episode i is row `obs_offsets[i] + t` (t = 0 ... `lengths[i]`),
    its action and reward row `step_offsets[i] + t` (t < `lengths[i]`). In a subset `observations`
    and `labels` still hold the rows of *all* episodes of the parent; `actions`, `rewards`,
    `success`, `seeds` and `lengths` hold its own only.

    Attributes:
        observations: Name to array (rows, ...).
        labels: Name to float32 array (rows, ...) of simulator state; may be empty.
        actions: (n_steps, A) float32.
        rewards: (n_steps,) float32.
        success: (n_episodes,) bool.
        seeds: (n_episodes,) int64, -1 where it is not known.
        lengths: (n_episodes,) int64, steps of each episode.
        obs_offsets: (n_episodes,) int64, first observation row of each episode.
        step_offsets: (n_episodes,) int64, first action row of each episode.
        metadata: JSON-able facts; `metadata["spaces"]["action"]` has the action box.
        digests: (n_episodes, 32) uint8, SHA-256 of each episode; None until they are needed.

    Example:
        >>> data = EpisodeDataset.from_arrays({"state": np.eye(5)}, [[0.1], [0.2], [0.3]], [1, 2])
        >>> data
        EpisodeDataset(episodes=2, steps=3, observations={state: (5,)}, action_dim=1)
        >>> sorted(data.sample_pairs(4, np.random.default_rng(0)))
        ['action', 'state']
    """

    observations: dict[str, AnyArray]
    labels: dict[str, FloatArray]
    actions: FloatArray
    rewards: FloatArray
    success: npt.NDArray[np.bool_]
    seeds: IntArray
    lengths: IntArray
    metadata: dict[str, Any]
    obs_offsets: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    step_offsets: IntArray = field(init=False)
    digests: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        for name in ("observations", "labels", "metadata"):
            setattr(self, name, dict(getattr(self, name)))
        self.step_offsets = np.cumsum(self.lengths) - self.lengths
        if not len(self.obs_offsets):  # no subset, which shares the rows of its parent
            self.obs_offsets = self.step_offsets + np.arange(self.n_episodes)

    @classmethod
    @quiet_floats()
    def from_arrays(
        cls,
        observations: Observations,
        actions: npt.ArrayLike,
        lengths: npt.ArrayLike,
        *,
        rewards: npt.ArrayLike | None = None,
        success: npt.ArrayLike | None = None,
        seeds: npt.ArrayLike | None = None,
        labels: Mapping[str, npt.ArrayLike] | None = None,
        action_low: npt.ArrayLike = -1.0,
        action_high: npt.ArrayLike = 1.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> EpisodeDataset:
        """Make a data set from concatenated arrays of n episodes with N steps in all.

        Args:
            observations: Array or mapping of arrays with N + n rows: each episode's T+1
                observations in order. uint8 images (rows, H, W, C) are called `"image"`, those of
                several cameras by any names; channels may be first, and stacks of frames
                (rows, N, H, W, C) become channels.
            actions: (N, A).
            lengths: (n,) steps of each episode, each >= 1, summing to N.
            rewards: (N,), zeros where left out, which the metadata then say.
            success: (n,) bool, True where left out: a prior learns from successes.
            seeds: (n,) integers, -1 where left out.
            labels: Name to array with N + n rows of simulator state.
            action_low: Lower edge of the env's action box, scalar or (A,).
            action_high: Upper edge of the env's action box, scalar or (A,).
            metadata: JSON-able facts to keep with the data.

        Raises:
            DataError: Something is empty, not finite, or of a length that disagrees.

        Warns:
            UserWarning: Actions outside the box, or action dimensions that never change.
        """
        arrays = checked_arrays(
            observations, actions, lengths, rewards, success, seeds, labels or {}
        )
        box = checked_box(arrays["actions"], action_low, action_high)
        silent = {} if rewards is not None else {REWARDS_FACT: False}
        return cls(**arrays, metadata={**box, **silent, **(metadata or {})})

    @classmethod
    @quiet_floats()
    def from_episodes(
        cls,
        episodes: Sequence[Episode],
        *,
        action_low: npt.ArrayLike = -1.0,
        action_high: npt.ArrayLike = 1.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> EpisodeDataset:
        """Make a data set from recorded episodes; see `from_arrays` for arguments and warnings.

        Raises:
            DataError: There are no episodes, or their names, image sizes or action dims differ.
        """
        arrays = checked_arrays(**concatenated(episodes))
        box = checked_box(arrays["actions"], action_low, action_high)
        return cls(**arrays, metadata={**box, **(metadata or {})})

    def __repr__(self) -> str:
        """Sizes instead of arrays."""
        shapes = ", ".join(f"{name}: {part.shape[1:]}" for name, part in self.observations.items())
        return (
            f"EpisodeDataset(episodes={self.n_episodes}, steps={self.n_steps}, "
            f"observations={{{shapes}}}, action_dim={self.action_dim})"
        )

    @property
    def n_episodes(self) -> int:
        """The number of episodes."""
        return len(self.lengths)

    @property
    def n_steps(self) -> int:
        """The number of actions in all episodes together."""
        return len(self.actions)

    @property
    def action_dim(self) -> int:
        """A: the number of action dimensions."""
        return int(self.actions.shape[1])

    @property
    def action_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Low and high (A,) float32 of the env's action box."""
        box = self.metadata["spaces"]["action"]
        low, high = (np.asarray(box[edge], dtype=np.float32) for edge in ("low", "high"))
        return low, high

    @property
    def observation_spec(self) -> ObservationSpec:
        """Shapes of the observations, as priors want them."""
        parts = self.observations
        images = {
            name: (int(part.shape[1]), int(part.shape[2]), int(part.shape[3]))
            for name, part in parts.items()
            if is_images(name, part)
        }
        lengths = {
            name: int(parts[name].shape[1]) for name in ("proprio", "state") if name in parts
        }
        return ObservationSpec(images.pop("image", None), cameras=images, **lengths)

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 of all episodes in order; equal only for equal content."""
        if self.digests is None:
            rows = [self.episode(i).digest() for i in range(self.n_episodes)]
            self.digests = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
        return hashlib.sha256(self.digests.tobytes()).hexdigest()

    @quiet_floats()
    def action_statistics(self) -> ActionStatistics:
        """Mean, standard deviation and share on the box's edge of every action dimension."""
        return action_statistics(self.actions, *self.action_bounds)

    def observation_rows(self, *, lasts: bool = False) -> IntArray:
        """The observation row of every action: `observations[k][rows]` lines up with `actions`.

        Args:
            lasts: Also that after the last action of each episode, behind its others; in a subset
                there are rows of no episode.
        """
        counts = self.lengths + int(lasts)
        shift = self.obs_offsets - (np.cumsum(counts) - counts)
        rows: IntArray = np.arange(int(counts.sum()), dtype=np.int64) + np.repeat(shift, counts)
        return rows

    def observed(self, names: Sequence[str], rows: IntArray) -> Observations:
        """Parts of the observations in some rows as priors take them: one alone, several by name.

        Args:
            names: Of the parts.
            rows: (B,) of observations.
        """
        parts = {name: self.observations[name].take(rows, axis=0) for name in names}
        return parts if len(parts) > 1 else parts[names[0]]

    def gather(self, episodes: IntArray, steps: IntArray) -> dict[str, AnyArray]:
        """Observations, labels and `"action"` at the given steps of the given episodes.

        Args:
            episodes: (B,) indices below `n_episodes`.
            steps: (B,) time steps, each below the length of its episode.
        """
        rows = self.obs_offsets[episodes] + steps
        batch = {k: part.take(rows, axis=0) for k, part in self.observations.items()}
        batch |= {k: part.take(rows, axis=0) for k, part in self.labels.items()}
        batch["action"] = self.actions[self.step_offsets[episodes] + steps]
        return batch

    def sample_pairs(self, batch_size: int, rng: np.random.Generator) -> dict[str, AnyArray]:
        """Draw B/2 episodes with replacement and two different time steps of each.

        Args:
            batch_size: B, even and positive.
            rng: Where the draws come from.

        Returns:
            Name to array (B, ...): every observation and label key, and `"action"` (B, A).
            Entries 2i and 2i+1 are of one episode (the same step where it has only one).

        Raises:
            InvalidArgumentError: `batch_size` is not a positive even number, or `rng` no generator.
        """
        require_instance("rng", rng, np.random.Generator, "a np.random.Generator")
        if not isinstance(batch_size, int | np.integer) or batch_size < 2 or batch_size % 2:
            raise InvalidArgumentError(
                f"Expected a positive even batch_size (pairs of steps), got {batch_size!r}."
            )
        episodes = rng.integers(self.n_episodes, size=batch_size // 2)
        lengths = self.lengths[episodes]
        first = rng.integers(lengths)
        # an offset of 1 ... T-1, wrapped around, is uniform over the other steps
        second = (first + 1 + rng.integers(np.maximum(lengths - 1, 1))) % lengths
        steps = np.stack([first, second], axis=1).reshape(-1)
        return self.gather(np.repeat(episodes, 2), steps)

    def with_labels(self, labels: Mapping[str, FloatArray]) -> EpisodeDataset:
        """The same with these labels in place of its own; the rest is shared, not copied."""
        _ = self.content_hash  # makes the digests, so that the hash stays that of what was recorded
        return replace(self, labels=dict(labels))

    def seeing(self, names: Sequence[str] | str) -> EpisodeDataset:
        """The same with these of its observations alone, as a prior of limited sight sees them.

        Images keep their names and are shared, not copied. Vectors are joined in the given order:
        beside an image they are called "proprio", alone "state". Where there are no names,
        observations stay as they are, and nothing looks at them.

        Raises:
            UnknownNameError: There is no such observation; the nearest is named.
            DataError: One is neither an image nor vectors.

        Example:
            >>> data = EpisodeDataset.from_arrays(
            ...     {"hand": np.zeros((3, 2)), "goal": np.ones((3, 1))}, [[0.1], [0.2]], [2])
            >>> data.seeing(["goal"]).observation_spec.parts
            {'state': (1,)}
        """
        wanted = (names,) if isinstance(names, str) else tuple(names)
        if self.metadata.get(SEES_FACT) == list(wanted):
            return self
        _ = self.content_hash  # that of what was recorded
        seen, metadata = limited(self.observations, self.metadata, wanted)
        return replace(self, observations=seen, metadata=metadata)

    def seen_by(self, prior: HasMetadata) -> EpisodeDataset:
        """As a prior sees it: what its metadata say of its sight, all where they say nothing."""
        sees = prior.metadata.get(SEES_FACT)
        return self if sees is None else self.seeing(sees)

    def subset(self, indices: npt.ArrayLike) -> EpisodeDataset:
        """The given episodes, in the given order; images and labels are shared, not copied.

        Raises:
            InvalidArgumentError: No indices, or one outside 0 ... n_episodes - 1.
        """
        chosen = checked_indices(indices, self.n_episodes)
        lengths = self.lengths[chosen]
        starts = self.step_offsets[chosen] - (np.cumsum(lengths) - lengths)
        rows = np.arange(int(lengths.sum())) + np.repeat(starts, lengths)
        return EpisodeDataset(
            observations=self.observations,
            labels=self.labels,
            actions=self.actions[rows],
            rewards=self.rewards[rows],
            success=self.success[chosen],
            seeds=self.seeds[chosen],
            lengths=lengths,
            obs_offsets=self.obs_offsets[chosen],
            metadata=self.metadata,
            digests=None if self.digests is None else self.digests[chosen],
        )

    def split(
        self, fraction: float, rng: np.random.Generator
    ) -> tuple[EpisodeDataset, EpisodeDataset]:
        """Split into (rest, held out); `rng` draws the share `fraction` of episodes held out.

        Raises:
            InvalidArgumentError: `fraction` is outside (0, 1) or there are fewer than two episodes.
        """
        require_instance("rng", rng, np.random.Generator, "a np.random.Generator")
        if not is_number(fraction) or not 0.0 < fraction < 1.0 or self.n_episodes < 2:
            raise InvalidArgumentError(
                "Expected a fraction within (0, 1) and at least 2 episodes to split, got "
                f"fraction {fraction!r} and {self.n_episodes} episodes."
            )
        held = min(max(round(fraction * self.n_episodes), 1), self.n_episodes - 1)
        order = rng.permutation(self.n_episodes)
        # sorted, so that reading a part front to back walks through memory in order
        return self.subset(np.sort(order[held:])), self.subset(np.sort(order[:held]))

    def episode(self, index: int) -> Episode:
        """Episode `index` by itself; its arrays are views.

        Raises:
            InvalidArgumentError: There is no episode of that index.
        """
        checked_indices([index], self.n_episodes)
        length = int(self.lengths[index])
        first, step = int(self.obs_offsets[index]), int(self.step_offsets[index])
        obs, steps = slice(first, first + length + 1), slice(step, step + length)
        return Episode(
            {name: part[obs] for name, part in self.observations.items()},
            self.actions[steps],
            self.rewards[steps],
            bool(self.success[index]),
            int(self.seeds[index]),
            {name: part[obs] for name, part in self.labels.items()},
        )


@dataclass(frozen=True)
class ActionStatistics:
    """Statistics per action dimension.

    Attributes:
        mean: (A,) float32.
        std: (A,) float32.
        clip_fraction: (A,) float32 in [0, 1]: the share of actions on or beyond the box's edge.
    """

    mean: FloatArray
    std: FloatArray
    clip_fraction: FloatArray


def action_statistics(actions: FloatArray, low: FloatArray, high: FloatArray) -> ActionStatistics:
    """Summarise actions (N, A) that were taken in the box `low` ... `high` (A,)."""
    return ActionStatistics(
        mean=actions.mean(0, dtype=np.float64).astype(np.float32),
        std=actions.std(0, dtype=np.float64).astype(np.float32),
        clip_fraction=((actions <= low) | (actions >= high)).mean(0).astype(np.float32),
    )


_GAP = (0, 2)
_BACKGROUND = 255


def contact_sheet(
    dataset: EpisodeDataset, *, episodes: int = 8, frames: int = 8, image_key: str = ""
) -> ImageArray:
    """Images of a data set as one picture (H, W, 3) uint8.

    Args:
        dataset: With images of 1, 3 or more channels; of more than 3, the last 3 are shown.
        episodes: Rows, spread evenly over the data set; fewer where it has fewer.
        frames: Columns, spread evenly over each episode, the first and the last included.
        image_key: Which of several images, by its name; the first where left out.

    Raises:
        UnknownNameError: There is no such image.
        DataError: There are no images.
        InvalidArgumentError: `episodes` or `frames` is below 1.

    Example:
        >>> images = np.zeros((12, 32, 48, 3), np.uint8)
        >>> data = EpisodeDataset.from_arrays(images, np.eye(10), [4, 6])
        >>> contact_sheet(data, frames=3).shape
        (70, 152, 3)
    """
    if episodes < 1 or frames < 1:
        raise InvalidArgumentError(
            f"Expected at least one episode and one frame, got {episodes} and {frames}."
        )
    known = dataset.observation_spec.images
    if not known:
        raise DataError(
            f"Expected a data set with images, got {', '.join(dataset.observations)} only."
        )
    require_known("image", [image_key] if image_key else [], known)
    images = dataset.observations[image_key or next(iter(known))]
    rows = np.linspace(0, dataset.n_episodes - 1, min(episodes, dataset.n_episodes)).round()
    chosen = rows.astype(np.int64)
    shares = np.linspace(0, dataset.lengths[chosen], frames, axis=1).round().astype(np.int64)
    shown = images[dataset.obs_offsets[chosen][:, None] + shares]
    shown = shown[..., -3:] if shown.shape[-1] >= 3 else shown[..., -1:].repeat(3, axis=-1)
    # each picture with a gap behind it and below, and one before the first
    tiles = np.pad(shown, ((0, 0), (0, 0), _GAP, _GAP, (0, 0)), constant_values=_BACKGROUND)
    n, m, height, width, _ = tiles.shape
    sheet = tiles.swapaxes(1, 2).reshape(n * height, m * width, 3)
    return np.pad(sheet, (_GAP[::-1], _GAP[::-1], (0, 0)), constant_values=_BACKGROUND)
