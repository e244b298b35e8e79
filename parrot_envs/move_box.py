"""A box that is pushed to one target before the point goes to another."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from parrot_envs.errors import check_choice
from parrot_envs.point_mass import POINT_RADIUS, Mark, PointMassEnv, Steering, Vector

Layout: TypeAlias = Literal["random", "fixed"]
BOX_SIZE = 0.1
"""Half its side."""
REACH = BOX_SIZE + POINT_RADIUS
"""From the middle of the box to that of a point that touches it."""
TARGET_RADIUS = 0.12
TARGETS = 3
_FIXED = np.array([[0.0, -0.45], [-0.6, 0.6], [0.6, 0.6]])
_APART = {"targets": 0.45, "box": 0.35, "point": 0.35}
_GAP = 0.07
"""Kept between the point and a box that it goes around."""
_ALIGNED = 0.03
_TASTE = 0.3
"""What a way may be longer for an expert that likes it better."""


class MoveBox(PointMassEnv):
    """Push the box to its target, then go to the point's target.

    **Observation**: as of `PointMassEnv`; the vectors are `proprio` (4,), `box` (2,), its middle,
    `targets` (6,), the places of the three targets, and `task` (6,), one-hot which of them is the
    box's and then which is the point's. In images the box and its target are orange, the point's
    target is green.

    **Box**: a square of 0.2 that turns never and moves with a point that pushes one of its sides,
    as if the point were a square of 0.12. It stops with the point, and at walls.

    **Reward and success**: 1.0 on each step on which box and point are within 0.12 of their
    targets, else 0.0.

    **Start**: the point at rest. With `layout="fixed"` below a box that has to be pushed down
    towards it: a way around it on the left is as short as one on the right.

    **Episode end**: never terminates; the registered id truncates after 100 steps.

    **Info**: `is_success`, `success_once`; `box_placed`, whether the box is on its target.

    **Versions**: v0, the first.

    Args:
        layout: `"random"` for new places and targets in each episode, or `"fixed"`.
        **options: Those of `PointMassEnv`.
    """

    def __init__(self, *, layout: Layout = "random", **options: Any) -> None:
        check_choice("layout", layout, get_args(Layout))
        super().__init__(**options)
        self._layout = layout

    def _sizes_of_vectors(self) -> dict[str, int]:
        return {"box": 2, "targets": 2 * TARGETS, "task": 2 * TARGETS}

    def _vectors(self) -> dict[str, Vector]:
        asked = np.eye(TARGETS)[list(self._asked)]
        return {"box": self.box, "targets": self._targets.ravel(), "task": asked.ravel()}

    def _marks(self) -> list[Mark]:
        colors = dict(zip(self._asked, ((200, 140, 60), (40, 180, 70)), strict=True))
        grey = (120, 120, 120)
        return [
            *(Mark(p, colors.get(i, grey), TARGET_RADIUS) for i, p in enumerate(self._targets)),
            Mark(self.box, (240, 110, 20), BOX_SIZE, square=True),
        ]

    @property
    def box_target(self) -> Vector:
        """Where the box is to be, (2,)."""
        place: Vector = self._targets[self._asked[0]]
        return place

    @property
    def point_target(self) -> Vector:
        """Where the point is to be then, (2,)."""
        place: Vector = self._targets[self._asked[1]]
        return place

    def _begin(self) -> None:
        self._success_once = False
        if self._layout == "fixed":
            self._targets, self._asked = _FIXED, (0, 1)
            self.box, self.position = np.zeros(2), np.array([0.0, -0.8])
            return
        rng = self.np_random
        self._targets = rng.uniform(-0.65, 0.65, (TARGETS, 2))
        while _nearest(self._targets) < _APART["targets"]:
            self._targets = rng.uniform(-0.65, 0.65, (TARGETS, 2))
        first, second = rng.choice(TARGETS, 2, replace=False).tolist()
        self._asked = (first, second)
        self.box = self._free(0.5, self._targets, _APART["box"])
        self.position = self._free(0.9, self.box[None], _APART["point"])

    def _free(self, within: float, others: Vector, apart: float) -> Vector:
        while True:
            place: Vector = self.np_random.uniform(-within, within, 2)
            if np.hypot(*(others - place).T).min() >= apart:
                return place

    def _advance(self, before: Vector) -> float:
        self.box, self.position = pushed(self.box, before, self.position)
        self._success_once = self._success_once or self._succeeds()
        return float(self._succeeds())

    def _placed(self) -> bool:
        return bool(np.hypot(*(self.box - self.box_target)) < TARGET_RADIUS)

    def _succeeds(self) -> bool:
        near = bool(np.hypot(*(self.position - self.point_target)) < TARGET_RADIUS)
        return near and self._placed()

    def _info(self) -> dict[str, Any]:
        return {
            "is_success": self._succeeds(), "success_once": self._success_once,
            "box_placed": self._placed(),
        }  # fmt: skip

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> MoveBoxExpert:
        """An expert for this episode.

        Args:
            rng: Source of its noise, and of the way that it likes better around the box.
            noise: Standard deviation of the Gaussian noise on both pushes.
        """
        self._require_episode()
        return MoveBoxExpert(self, rng, noise)


def pushed(box: Vector, before: Vector, after: Vector) -> tuple[Vector, Vector]:
    """Where box and point are, (2,) each, once the point went from `before` towards `after`.

    The side that it touches is the one it was beyond; the box moves along, and stops at a wall.

    Example:
        >>> box, point = pushed(np.zeros(2), np.array([-0.2, 0.0]), np.array([-0.1, 0.0]))
        >>> box.round(2).tolist(), point.tolist()
        ([0.06, 0.0], [-0.1, 0.0])
    """
    if np.abs(after - box).max() >= REACH:
        return box, after
    axis = int(np.abs(before - box).argmax())
    side = REACH * np.sign(box[axis] - before[axis])
    box, after = box.copy(), after.copy()
    box[axis] = np.clip(after[axis] + side, BOX_SIZE - 1.0, 1.0 - BOX_SIZE)
    after[axis] = box[axis] - side
    return box, after


def _nearest(places: Vector) -> float:
    """The smallest distance between two of these (N, 2)."""
    away = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    return float(away[np.triu_indices(len(places), 1)].min())


class MoveBoxExpert(Steering):
    """Pushes the box along one axis, then the other, and goes to its own target.

    Arguments as of `Steering`.
    """

    def __init__(self, env: MoveBox, rng: np.random.Generator, noise: float) -> None:
        super().__init__(env, rng, noise)
        self._env = env
        self._tastes = rng.uniform(0.0, _TASTE, 4)  # one for each corner of the box
        self._axis = int(np.abs(env.box_target - env.box).argmax())

    def _aim(self) -> Vector:
        env = self._env
        off = env.box_target - env.box
        if abs(off[self._axis]) < _ALIGNED:
            self._axis = int(np.abs(off).argmax())
        axis = self._axis
        if abs(off[axis]) < _ALIGNED:
            return self._around(env.point_target)
        ahead = REACH * np.sign(off[axis])
        beside = abs(env.position[1 - axis] - env.box[1 - axis])
        behind = (env.box[axis] - env.position[axis]) * np.sign(ahead) >= REACH - 1e-6
        if behind and beside < _ALIGNED:
            aim: Vector = env.box.copy()
            aim[axis] = env.box_target[axis] - ahead
            return aim
        stand = env.box.copy()
        stand[axis] -= ahead + _GAP * np.sign(ahead)
        return self._around(stand)

    def _around(self, aim: Vector) -> Vector:
        """The aim, or a corner to go by where the box is in the way."""
        box, place = self._env.box, self._env.position
        clear = min(REACH + 0.5 * _GAP, float(np.abs(place - box).max()) - 1e-6)
        if not _crosses(box, clear, place, aim):
            return aim
        corners = box + (REACH + _GAP) * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        costs = np.hypot(*(corners - place).T) + np.hypot(*(corners - aim).T) + self._tastes
        for index, corner in enumerate(corners):
            costs[index] += 10.0 * _crosses(box, clear, place, corner)
            costs[index] += _crosses(box, clear, corner, aim)
        found: Vector = corners[int(costs.argmin())]
        return found


def _crosses(middle: Vector, half: float, begin: Vector, end: Vector) -> bool:
    """Whether the way from `begin` to `end` leads through a square."""
    way = np.where(end == begin, 1e-12, end - begin)
    one, other = (middle - half - begin) / way, (middle + half - begin) / way
    enters, leaves = np.minimum(one, other).max(), np.maximum(one, other).min()
    return bool(max(enters, 0.0) < min(leaves, 1.0))
