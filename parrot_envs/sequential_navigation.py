"""Four targets to visit in an order; which is next depends on the last two."""

from __future__ import annotations

from typing import Any

import numpy as np

from parrot_envs.point_mass import Mark, PointMassEnv, Steering, Vector

TARGETS = np.array([[-0.6, -0.6], [0.6, -0.6], [0.6, 0.6], [-0.6, 0.6]])
TARGET_RADIUS = 0.15
NEEDED_VISITS = 5
LIKELY = 0.9
_SLOW, _NEAR = 0.02, 0.05
_PAUSE = 2
"""Steps that the expert stands still on a target, so that nothing shows where it came from."""


def next_target_probabilities(before: int, last: int) -> Vector:
    """Probabilities (4,) of the next target, given the last two that were visited.

    Of the two targets that are neither of these, the one that follows `before` in the cyclic order
    of all but `last` comes with probability 0.9, the other with 0.1. Given `last` alone, each of
    the three others is equally likely.

    Args:
        before: The target before the last one, 0 to 3.
        last: The last target, 0 to 3, another one.

    Example:
        >>> next_target_probabilities(before=0, last=1)
        array([0. , 0. , 0.9, 0.1])
    """
    others = [target for target in range(len(TARGETS)) if target != last]
    place = others.index(before)
    found = np.zeros(len(TARGETS))
    found[others[(place + 1) % 3]] = LIKELY
    found[others[(place + 2) % 3]] = 1.0 - LIKELY
    return found


class SequentialNavigation(PointMassEnv):
    """Visit the target that is asked for; then another one is, which depends on the last two.

    A second-order Markov chain (`next_target_probabilities`) draws which target is next. What shows
    the point alone, such as `proprio`, does not tell it, unless it is remembered where the point
    came from (Tirumala et al. 2022, section 6).

    **Observation**: as of `PointMassEnv`; the vectors are `proprio` (4,) and `goal` (4,), one-hot,
    the target to visit next, which is green in images.

    **Reward**: 1.0 on each step on which the point comes within 0.15 of the goal, else 0.0.

    **Start**: at rest on a target.

    **Episode end**: never terminates; the registered id truncates after 150 steps.

    **Info**: `is_success` and `success_once`, whether 5 targets were visited so far; `visits`, how
    many; `goal`, the index of the target to visit next.

    **Versions**: v0, the first.
    """

    def _sizes_of_vectors(self) -> dict[str, int]:
        return {"goal": len(TARGETS)}

    def _vectors(self) -> dict[str, Vector]:
        return {"goal": np.eye(len(TARGETS))[self.goal]}

    def _marks(self) -> list[Mark]:
        return [
            Mark(place, (40, 180, 70) if index == self.goal else (120, 120, 120), TARGET_RADIUS)
            for index, place in enumerate(TARGETS)
        ]

    def _begin(self) -> None:
        before, self.last = self.np_random.choice(len(TARGETS), 2, replace=False).tolist()
        self._draw_goal(before)
        self.visits = 0
        self.position = TARGETS[self.last] + self.np_random.uniform(-0.01, 0.01, 2)

    def _draw_goal(self, before: int) -> None:
        chances = next_target_probabilities(before, self.last)
        self.goal = int(self.np_random.choice(len(TARGETS), p=chances))

    def _advance(self, before: Vector) -> float:
        if np.hypot(*(self.position - TARGETS[self.goal])) >= TARGET_RADIUS:
            return 0.0
        before_last, self.last = self.last, self.goal
        self._draw_goal(before_last)
        self.visits += 1
        return 1.0

    def _info(self) -> dict[str, Any]:
        done = self.visits >= NEEDED_VISITS
        return {
            "is_success": done, "success_once": done, "visits": self.visits, "goal": self.goal,
        }  # fmt: skip

    def make_expert(self, rng: np.random.Generator, noise: float = 0.1) -> NavigationExpert:
        """An expert for this episode.

        Args:
            rng: Source of its noise.
            noise: Standard deviation of the Gaussian noise on both pushes.
        """
        self._require_episode()
        return NavigationExpert(self, rng, noise)


class NavigationExpert(Steering):
    """Goes to the goal, stands still there for a moment, and goes on.

    Arguments as of `Steering`.
    """

    def __init__(self, env: SequentialNavigation, rng: np.random.Generator, noise: float) -> None:
        super().__init__(env, rng, noise)
        self._env, self._target, self._pauses = env, env.last, 0

    def _aim(self) -> Vector:
        away = self._env.position - TARGETS[self._target]
        still = np.abs(self._env.velocity).max() < _SLOW and np.abs(away).max() < _NEAR
        self._pauses += int(still)
        if self._pauses >= _PAUSE and self._target != self._env.goal:
            self._target, self._pauses = self._env.goal, 0
        place: Vector = TARGETS[self._target]
        return place
