"""What data teach an encoder by hindsight, and what they lack, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from parrot_wrapper.priors.encoders.cues import Cues, Track, hindsight_labels
from parrot_wrapper.types import Demonstrations

_ORDERS = ("positions", "velocities", "forces")
_SHORT = 4
"""Steps of an episode in which hardly anything is gone to."""
_RARE = 0.02
"""Share of observations that are on a way to a keyframe, below which ways teach next to nothing."""


def lessons(cues: Cues, data: Demonstrations) -> str:
    """One line: where keyframes and odometry come from, and what images do not tell of.

    Example:
        >>> from parrot_wrapper.data import EpisodeDataset
        >>> data = EpisodeDataset.from_arrays([[0.0], [0.1]], [[0.2, 0.3]], [1])
        >>> lessons(Cues(tracks=(Track("action", 1, 1, 1.0, 0.9),)), data)
        'keyframes by rest; odometry by action 1 (velocities; images tell 0.90 of it); not told by
        the images: action 0'
    """
    dims = [toggle.dim for toggle in cues.toggles]
    keyframes = [_named("action", dims)] * bool(dims) + ["rest"] * bool(cues.tracks)
    parts = [f"keyframes by {' and by '.join(keyframes)}"] if keyframes else []
    by_kind: dict[tuple[str, int], list[Track]] = {}
    for track in cues.tracks:
        by_kind.setdefault((track.source, track.order), []).append(track)
    for (source, order), tracks in by_kind.items():
        told = ", ".join(f"{track.told:.2f}" for track in tracks)
        kind = f"{_ORDERS[order]}; " if source == "action" else ""
        which = "of it" if len(tracks) == 1 else "of them"
        named = _named(source, [track.dim for track in tracks])
        parts.append(f"odometry by {named} ({kind}images tell {told} {which})")
    used = {*dims, *(track.dim for track in cues.tracks if track.source == "action")}
    unused = [dim for dim in range(data.actions.shape[1]) if dim not in used]
    if unused and not any(track.source == "proprio" for track in cues.tracks):
        parts.append(f"not told by the images: {_named('action', unused)}")
    return "; ".join(parts)


def gaps(cues: Cues, data: Demonstrations) -> Iterator[str]:
    """What the data lack and what to do, a sentence or two each."""
    if not cues.tracks:
        yield (
            f"The images of these {len(data.lengths)} episodes tell of no action and no "
            "proprioception, so nothing teaches the encoder where things are but the prior's own "
            "loss, and an agent on such features hardly learns. Look whether images show what "
            "moves and are in step with the actions, and whether there are enough episodes."
        )
        return
    there = hindsight_labels(data, cues)["hindsight_there"]
    steps = int(data.lengths.sum())
    if there.sum() < _RARE * steps or np.median(data.lengths) < _SHORT:
        yield (
            f"{int(there.sum())} of {steps} steps are on a way to a keyframe, in episodes of "
            f"{int(np.median(data.lengths))} steps, so next to nothing teaches what is gone to. "
            "Record whole episodes, from afar to where something is done."
        )
    if not cues.same_view:
        yield (
            "Most of the image differs from one episode to the next, as where the camera or the "
            "background does. Places are learned as those of one view: keep the camera where it "
            "is, or have many more episodes, or proprioception beside the image."
        )


def _named(source: str, dims: Iterable[int]) -> str:
    chosen = list(dims)
    plural = "s" if len(chosen) > 1 and source == "action" else ""
    return f"{source}{plural} {', '.join(map(str, chosen))}"
