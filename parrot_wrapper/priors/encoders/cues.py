"""What demonstrations tell of themselves, without labels: toggles, odometry and keyframes.

All of it is found in actions (or proprioception), dimension by dimension, and in whether images
tell of it. A *toggle* is an action dimension with two values that seldom changes, as that of a hand
that opens and closes. A *track* is a quantity that grows with the motion: integrated actions where
they are velocities, actions themselves where they are positions, twice integrated ones where they
are forces, with or without drag, or a number of proprioception. A *keyframe* is a step at which a
toggle changes, or at which the motion comes to rest or turns sharply (as in James et al. 2022, ARM:
where a demonstrator does something is where things are).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from parrot_wrapper.errors import DataError
from parrot_wrapper.types import AnyArray, Demonstrations, FloatArray

_Array = npt.NDArray[np.float64]

PAIRS = 6_000
"""Pairs of steps that tell whether images tell of a track."""
_AT_ONCE = 256
"""Images that are looked at in one pass; bounds the memory."""
_APART = 8
_CELLS, _PIXELS = 8, 64
"""Of a coarse image: cells a side, and pixels a side that they are means of, or more."""
_RIDGE = 30.0
_TOLD = 0.05
"""Least share of a track's variance that images must explain, in episodes held out."""
_CONTROLS = ((0, 1.0), (1, 1.0), *((2, carry) for carry in (0.5, 0.7, 0.85, 1.0)))
"""What an action may be: order, and what of its speed is carried on."""
_FOLDS, _FLIPS = 4, 4
"""Parts of the episodes that are held out in turn; and times that signs are drawn anew."""
_TWO_VALUES = 0.12
"""Largest share of a toggle's variance that is not between its two values; noise has 0.36."""
_SELDOM = 0.25
"""Largest share of steps at which a toggle switches."""
_REST, _FAST = 0.35, 90.0
"""Rest is below this share of a fast step: the percentile of all speeds."""
_CHANGED = 4.0
"""Of 255: a pixel that differs by more has changed."""


@dataclass(frozen=True)
class Toggle:
    """An action dimension with two values.

    Attributes:
        dim: Its index.
        low: Below this it is switched one way,
        high: above this the other way; between, it stays as it is.
    """

    dim: int
    low: float
    high: float


@dataclass(frozen=True)
class Track:
    """A quantity that grows with the motion.

    Attributes:
        source: "action" or "proprio".
        dim: Index in it.
        order: How often it is integrated over time: 0, 1 or 2.
        scale: Typical way to the next keyframe, in its own unit; labels are in multiples of it.
        told: Share of its change between two steps that a linear map of coarse images explains.
        carry: Share of its speed that the motion keeps from one step to the next, under a force
            (order 2); less than 1 where there is drag.
    """

    source: str
    dim: int
    order: int
    scale: float
    told: float
    carry: float = 1.0


@dataclass(frozen=True)
class Cues:
    """What a data set tells of itself; JSON-able by `to_dict`.

    Attributes:
        toggles: In the order of dimensions.
        tracks: Those that images tell of, in the order of dimensions.
        rest: Speed, in multiples of `scale` a step, below which the motion rests.
        fixed_camera: Whether most pixels stay as they are during an episode.
        same_view: Whether most are also alike in different episodes, where the camera is fixed.
    """

    toggles: tuple[Toggle, ...] = ()
    tracks: tuple[Track, ...] = ()
    rest: float = 0.0
    fixed_camera: bool = True
    same_view: bool = True

    @property
    def forces(self) -> list[int]:
        """Tracks whose speed is not the action's, but has to be seen."""
        return [column for column, track in enumerate(self.tracks) if track.order == 2]

    @property
    def kinds(self) -> int:
        """Kinds of keyframes: two of each toggle, and rest or turn."""
        return 2 * len(self.toggles) + 1

    @property
    def thing_kinds(self) -> int:
        """How many of the kinds, the first ones, say where things are: those of toggles, if any.

        One rests where nothing is, too.
        """
        return 2 * len(self.toggles) or 1

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cues:
        """The inverse of `to_dict`."""
        return cls(
            toggles=tuple(Toggle(**toggle) for toggle in values.get("toggles", ())),
            tracks=tuple(Track(**track) for track in values.get("tracks", ())),
            rest=float(values.get("rest", 0.0)),
            fixed_camera=bool(values.get("fixed_camera", True)),
            same_view=bool(values.get("same_view", True)),
        )


def find_cues(data: Demonstrations, image: str = "image") -> Cues:
    """Look for toggles, and for tracks that the images under the key `image` tell of."""
    toggles = tuple(_toggles(data))
    rng = np.random.default_rng(0)
    pairs = _pairs(data.lengths, rng)
    episodes, first, second = pairs
    rows = data.obs_offsets[episodes][:, None] + np.stack([first, second], axis=1)
    before, after = (_coarse(data.observations[image], column) for column in rows.T)
    fixed = _alike(before, after)
    same = not fixed or _alike(before, np.median(before, axis=0, keepdims=True))
    seen = np.concatenate([after - before, np.square(after) - np.square(before)], axis=1)
    seen /= seen.std(axis=0) + 1e-6
    proprio = [Track("proprio", dim, 0, 1.0, 0.0) for dim in range(_proprio_dim(data))]
    moving = [
        Track("action", dim, order, 1.0, 0.0, carry)
        for dim in _moving(data.actions, toggles)
        for order, carry in _CONTROLS
    ]
    candidates = proprio + moving
    shares = _told(seen, _changes(data, candidates, pairs), episodes, rng)
    best: dict[tuple[str, int], Track] = {}
    for track, share in zip(candidates, shares, strict=True):
        key = (track.source, track.dim)
        if share > 0 and (key not in best or share > best[key].told):
            best[key] = replace(track, told=round(float(share), 3))
    tracks = list(best.values())
    if any(track.source == "proprio" for track in tracks):
        tracks = [track for track in tracks if track.source == "proprio"]
    return replace(_scaled(data, toggles, tracks), fixed_camera=fixed, same_view=same)


def _alike(one: FloatArray, other: FloatArray) -> bool:
    """Whether most cells (B, N) of images are the same in two sets of them, or as in one (1, N)."""
    return bool((np.abs(one - other) > _CHANGED).mean() < 0.5)


def _scaled(data: Demonstrations, toggles: tuple[Toggle, ...], tracks: list[Track]) -> Cues:
    """Scales and the threshold of rest, from the ways to the next keyframes."""
    if not tracks:
        return Cues(toggles)
    raw = Cues(toggles, tuple(tracks))
    steps = [np.diff(path, axis=0) for _, path in _paths(data, raw)]
    spread = np.sqrt(np.mean(np.concatenate([np.square(s) for s in steps]), axis=0)) + 1e-9
    speeds = np.concatenate([np.linalg.norm(_smooth(s / spread), axis=1) for s in steps])
    rest = _REST * float(np.percentile(speeds, _FAST))
    rough = tuple(replace(t, scale=float(s)) for t, s in zip(tracks, spread, strict=True))
    labels = hindsight_labels(data, Cues(toggles, rough, rest))
    there = labels["hindsight_there"] > 0
    ways = labels["hindsight_way"][there]
    length = np.sqrt(np.mean(np.square(ways), axis=0)) if len(ways) else np.ones(len(tracks))
    length = np.maximum(length, 1e-6)
    # one threshold serves all scales: speeds are measured in the rough ones
    final = tuple(replace(t, scale=float(t.scale * s)) for t, s in zip(rough, length, strict=True))
    return Cues(toggles, final, rest / float(np.mean(length)))


def hindsight_labels(
    data: Demonstrations, cues: Cues, horizons: Sequence[int] = ()
) -> dict[str, FloatArray]:
    """What each observation of a data set is taught with, (N, ...) float32, N its rows.

    Args:
        data: Episodes; rows of `data.observations` that are of none of them get zeros.
        cues: Of these data or of others.
        horizons: Numbers of steps, H of them.

    Returns:
        "hindsight_track" (N, D): tracks. "hindsight_toggle" (N, G): -1 or 1, the last switch of
        each toggle, 0 before the first. "hindsight_way" (N, K, D): way to the next keyframe of
        each kind. "hindsight_there" (N, K): 1 where there is one, else 0. In so many steps, or at
        the end where that is nearer: "hindsight_ahead" (N, H, D), the way to there, and
        "hindsight_soon" (N, H, G), the last switch of each toggle. "hindsight_speed" (N, F): change
        of each of `cues.forces` since the step before, in multiples of a fast step.
    """
    _require_dims(data, cues)
    rows = len(next(iter(data.observations.values())))
    tracks, toggles, kinds = len(cues.tracks), len(cues.toggles), cues.kinds
    labels = {
        "hindsight_track": np.zeros((rows, tracks), np.float32),
        "hindsight_toggle": np.zeros((rows, toggles), np.float32),
        "hindsight_ahead": np.zeros((rows, len(horizons), tracks), np.float32),
        "hindsight_soon": np.zeros((rows, len(horizons), toggles), np.float32),
        "hindsight_speed": np.zeros((rows, len(cues.forces)), np.float32),
        "hindsight_way": np.zeros((rows, kinds, tracks), np.float32),
        "hindsight_there": np.zeros((rows, kinds), np.float32),
    }
    for index, path in _paths(data, cues):
        length, step = int(data.lengths[index]), int(data.step_offsets[index])
        actions = data.actions[step : step + length]
        first = int(data.obs_offsets[index])
        here = slice(first, first + length + 1)
        labels["hindsight_track"][here] = path
        steps = np.diff(path[:, cues.forces], axis=0, prepend=path[:1, cues.forces])
        labels["hindsight_speed"][here] = steps * (_REST / max(cues.rest, 1e-9))
        labels["hindsight_toggle"][here] = states = _states(actions, cues.toggles)
        for column, horizon in enumerate(horizons):
            later = np.minimum(np.arange(length + 1) + horizon, length)
            labels["hindsight_ahead"][here, column] = path[later] - path
            labels["hindsight_soon"][here, column] = states[later]
        resting = _resting(path, cues.rest)
        events = np.zeros((length + 1, kinds), bool)
        switched = np.diff(states[1:], axis=0, prepend=states[1:2])
        for toggle in range(toggles):
            events[:-1, 2 * toggle] = (switched[:, toggle] != 0) & (states[1:, toggle] < 0)
            events[:-1, 2 * toggle + 1] = (switched[:, toggle] != 0) & (states[1:, toggle] > 0)
        events[1:, -1] = resting[1:] & ~resting[:-1]
        events[-1, -1] = True
        _ways(path, events, resting, labels["hindsight_way"][here], labels["hindsight_there"][here])
    return labels


def _require_dims(data: Demonstrations, cues: Cues) -> None:
    found = {"action": data.actions.shape[1], "proprio": _proprio_dim(data)}
    wanted = [*(("action", toggle.dim) for toggle in cues.toggles)]
    wanted += [(track.source, track.dim) for track in cues.tracks]
    lacking = [f"{source} {dim}" for source, dim in wanted if dim >= found[source]]
    if lacking:
        raise DataError(
            f"The encoder is taught by {', '.join(lacking)}, which the data lack. Use data like "
            "those that it was made for, or make a new prior for these with `for_data`."
        )


def _ways(
    path: _Array,
    events: npt.NDArray[np.bool_],
    resting: npt.NDArray[np.bool_],
    way: FloatArray,
    there: FloatArray,
) -> None:
    """Fill in the ways (T + 1, K, D) to the next keyframes; who rests is on no way to a rest."""
    steps = len(path)
    for kind in range(events.shape[1]):
        marked = np.where(events[:, kind], np.arange(steps), steps)
        following = np.minimum.accumulate(marked[::-1])[::-1]
        valid = following < steps
        if kind == events.shape[1] - 1:
            valid &= ~resting & (following > np.arange(steps))
        way[valid, kind] = path[following[valid]] - path[valid]
        there[valid, kind] = 1.0


def _states(actions: FloatArray, toggles: tuple[Toggle, ...]) -> FloatArray:
    """The last switch of each toggle at each observation (T + 1, G), from {-1, 0, 1}."""
    states = np.zeros((len(actions) + 1, len(toggles)), np.float32)
    for column, toggle in enumerate(toggles):
        values = actions[:, toggle.dim]
        switch = np.where(values < toggle.low, -1, np.where(values > toggle.high, 1, 0))
        last = np.maximum.accumulate(np.where(switch != 0, np.arange(len(switch)), -1))
        states[1:, column] = np.where(last >= 0, switch[np.maximum(last, 0)], 0)
        states[0, column] = states[1, column]
    return states


def _resting(path: _Array, rest: float) -> npt.NDArray[np.bool_]:
    """Whether the motion rests or turns at each observation (T + 1,)."""
    if not path.shape[1] or len(path) < 2:
        return np.zeros(len(path), bool)
    speed = np.linalg.norm(_smooth(np.diff(path, axis=0)), axis=1)
    return np.append(speed, speed[-1]) < rest


def _smooth(velocity: _Array) -> _Array:
    """The mean of three steps (T, D): opposite ones cancel, so that a turn is slow too."""
    padded = np.pad(velocity, ((1, 1), (0, 0)), mode="edge")
    result: _Array = (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
    return result


def _paths(data: Demonstrations, cues: Cues) -> Iterator[tuple[int, _Array]]:
    """The tracks (T + 1, D) of each episode, in multiples of their scales."""
    scale = np.array([track.scale for track in cues.tracks])
    for index in range(len(data.lengths)):
        yield index, _path(data, index, cues.tracks) / scale


def _path(data: Demonstrations, index: int, tracks: Sequence[Track]) -> _Array:
    length, step = int(data.lengths[index]), int(data.step_offsets[index])
    first = int(data.obs_offsets[index])
    actions = data.actions[step : step + length].astype(np.float64)
    columns = np.zeros((length + 1, len(tracks)))
    for column, track in enumerate(tracks):
        if track.source == "proprio":
            columns[:, column] = data.observations["proprio"][first : first + length + 1, track.dim]
        else:
            columns[:, column] = integrated(actions[:, track.dim], track.order, track.carry)
    return columns


def integrated(action: _Array, order: int, carry: float = 1.0) -> _Array:
    """Actions (T,) of a position (0), a velocity (1) or a force (2) as a track (T + 1,).

    Example:
        >>> integrated(np.array([1.0, 1.0]), 1).tolist()
        [0.0, 1.0, 2.0]
        >>> integrated(np.array([1.0, 1.0]), 2, carry=0.5).tolist()
        [0.0, 1.0, 2.5]
    """
    if order == 0:
        return np.concatenate([action[:1], action])
    speed = lfilter([1.0], [1.0, -carry], action) if order == 2 else action
    return np.concatenate([[0.0], np.cumsum(speed)])


def _toggles(data: Demonstrations) -> Iterator[Toggle]:
    for dim in range(data.actions.shape[1]):
        values = data.actions[:, dim].astype(np.float64)
        low, high = np.percentile(values, [2, 98])
        for _ in range(20):  # two means
            lower = np.abs(values - low) < np.abs(values - high)
            if not 0.02 < lower.mean() < 0.98:
                break
            low, high = values[lower].mean(), values[~lower].mean()
        else:
            within = np.square(values - np.where(lower, low, high)).mean()
            third = 0.3 * (high - low)
            toggle = Toggle(dim, round(float(low + third), 6), round(float(high - third), 6))
            if within < _TWO_VALUES * values.var() and _switching(data, toggle) < _SELDOM:
                yield toggle


def _switching(data: Demonstrations, toggle: Toggle) -> float:
    """Share of steps, all but the first of each episode, at which it switches."""
    switched = np.diff(_states(data.actions, (toggle,))[1:, 0]) != 0
    within = np.ones(len(switched), bool)
    within[data.step_offsets[1:] - 1] = False
    return float(switched[within].mean()) if within.any() else 1.0


def _moving(actions: FloatArray, toggles: tuple[Toggle, ...]) -> list[int]:
    switched = {toggle.dim for toggle in toggles}
    varies = np.ptp(actions, axis=0) > 1e-6 * (np.abs(actions).max(axis=0) + 1e-12)
    return [dim for dim in range(actions.shape[1]) if varies[dim] and dim not in switched]


def _proprio_dim(data: Demonstrations) -> int:
    return int(data.observations["proprio"].shape[1]) if "proprio" in data.observations else 0


def _pairs(lengths: npt.NDArray[Any], rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Episodes, in order, and two steps of each, up to `_APART` steps apart."""
    episodes = np.sort(rng.integers(len(lengths), size=PAIRS))
    ends = lengths[episodes].astype(np.int64)
    first = rng.integers(ends + 1)
    second = np.clip(first + rng.integers(-_APART, _APART + 1, size=PAIRS), 0, ends)
    return episodes, first, second


def _coarse(images: AnyArray, rows: npt.NDArray[np.int64]) -> FloatArray:
    """Means over a grid of cells (B, cells * C) float32 of images at these rows.

    Of large images every other pixel or fewer: a cell has enough of them.
    """
    step = max(1, min(images.shape[1:3]) // _PIXELS)
    sides = images[:1, ::step, ::step].shape[1:3]
    starts = [np.arange(cells) * side // cells for side in sides for cells in [min(_CELLS, side)]]
    sizes = [np.diff(start, append=side) for start, side in zip(starts, sides, strict=True)]
    area = np.multiply.outer(*sizes)[:, :, None].astype(np.float32)
    parts = []
    for some in np.array_split(rows, -(-len(rows) // _AT_ONCE)):
        wide = np.add.reduceat(images[some, ::step, ::step], starts[0], axis=1, dtype=np.float32)
        parts.append((np.add.reduceat(wide, starts[1], axis=2) / area).reshape(len(some), -1))
    result: FloatArray = np.concatenate(parts)
    return result


def _changes(data: Demonstrations, tracks: Sequence[Track], pairs: tuple[Any, Any, Any]) -> _Array:
    """Change of each track between the two steps of each pair (B, D)."""
    episodes, first, second = pairs
    columns = np.zeros((len(first), len(tracks)))
    for index in np.unique(episodes):
        mine = slice(*np.searchsorted(episodes, (index, index + 1)))  # they are in order
        path = _path(data, int(index), tracks)
        columns[mine] = path[second[mine]] - path[first[mine]]
    return columns


def _told(
    seen: FloatArray, changes: _Array, episodes: npt.NDArray[np.int64], rng: np.random.Generator
) -> _Array:
    """Share of each column's variance that a ridge regression on `seen` explains, 0 for little.

    Measured on episodes that it was not fitted on. A slow drift seems to be told where episodes are
    few, so the share counts where it is beyond that of the same with signs drawn for each episode.
    """
    columns = changes.shape[1]
    signs = rng.choice([-1.0, 1.0], (int(episodes.max()) + 1, _FLIPS))[episodes]
    flipped = (changes[:, None] * signs[:, :, None]).reshape(len(changes), -1)
    wanted = np.concatenate([changes, flipped], axis=1)
    x, error = seen.astype(np.float64), np.square(wanted).sum(axis=0)
    total = np.maximum(error, 1e-12)
    fold = episodes * _FOLDS // (int(episodes.max()) + 1)
    if len(np.unique(fold)) > 1:
        error = np.zeros_like(total)
        for held_out in (fold == part for part in np.unique(fold)):
            fitted = x[~held_out]
            gram = fitted.T @ fitted + _RIDGE * np.eye(x.shape[1])
            made = x[held_out] @ np.linalg.solve(gram, fitted.T @ wanted[~held_out])
            error += np.square(wanted[held_out] - made).sum(axis=0)
    share = 1.0 - error / total
    chance = share[columns:].reshape(_FLIPS, columns).max(axis=0)
    result: _Array = np.where(share[:columns] > np.maximum(chance, _TOLD), share[:columns], 0.0)
    return result
