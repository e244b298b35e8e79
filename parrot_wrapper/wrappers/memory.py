"""What a prior with memory remembers of each env's episode, while acting and of recordings."""

from __future__ import annotations

import numpy as np

from parrot_wrapper.types import ActionPrior, AnyArray, FloatArray, OffersMemory


class EpisodeMemory:
    """The state of each of a batch of envs, set back where an episode begins.

    Args:
        prior: The prior; of one without memory there is nothing to remember.

    Attributes:
        under_way: What is being executed (B, A), chunks (B, H, A); None for nothing.
    """

    def __init__(self, prior: ActionPrior) -> None:
        self._prior = prior if isinstance(prior, OffersMemory) else None
        self._state: AnyArray | None = None
        self.under_way: AnyArray | None = None

    def advance(self, features: FloatArray | None) -> None:
        """Take what was under way as done.

        Args:
            features: (B, F) that it was decoded for, with what was remembered; None for none.
        """
        if self._prior is not None and self.under_way is not None and features is not None:
            assert self._state is not None  # `begin` came before these features
            self._state = self._prior.advance(self._state, features, self.under_way)
        self.under_way = None

    def begin(self, envs: int, began: AnyArray | bool) -> None:
        """Set back those of so many envs that began an episode: (B,) bool, or one for all."""
        if self._prior is None:
            return
        first = self._prior.initial_state(envs)
        kept = first if self._state is None else self._state
        rows = np.broadcast_to(np.asarray(began), (envs,))
        self._state = np.where(rows.reshape(-1, *(1,) * (first.ndim - 1)), first, kept)

    def recall(self, features: FloatArray, envs: AnyArray | None = None) -> FloatArray:
        """Features (B, F) with what is remembered of these envs; None for all."""
        if self._prior is None:
            return features
        assert self._state is not None  # `begin` came before
        state: AnyArray = self._state if envs is None else self._state[envs]
        return self._prior.recall(features, state)


def recalled(
    prior: ActionPrior, features: FloatArray, actions: AnyArray, episodes: AnyArray
) -> FloatArray:
    """Features of recorded decisions, with what the prior remembers at each.

    Args:
        prior: The prior; without memory the features stay as they are.
        features: (N, F) of the decisions of whole episodes, in order.
        actions: (N, A) that were executed, chunks (N, H, A).
        episodes: (N,) which episode each belongs to; those of one stand together.
    """
    if not isinstance(prior, OffersMemory) or not len(features):
        return features
    begins = np.flatnonzero(np.r_[True, episodes[1:] != episodes[:-1]])
    lengths = np.diff(np.r_[begins, len(features)])
    found: FloatArray = features.copy()
    state = prior.initial_state(len(begins))
    for step in range(int(lengths.max())):
        going = np.flatnonzero(lengths > step)
        rows = begins[going] + step
        found[rows] = prior.recall(features[rows], state[going])
        state[going] = prior.advance(state[going], found[rows], actions[rows])
    return found
