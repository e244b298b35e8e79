"""Ways to draw batches from the replay of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeAlias

from parrot_wrapper.checks import check_fields, require_count, require_share
from parrot_wrapper.errors import require_known


@dataclass(frozen=True)
class UniformReplay:
    """SB3's own replay buffer.

    Attributes:
        n_steps: Decisions in an n-step return, 1 for none.

    Raises:
        InvalidArgumentError: A value outside its range.
    """

    name: ClassVar[str] = "uniform"
    n_steps: int = 1

    def __post_init__(self) -> None:
        require_count("n_steps", self.n_steps)


@dataclass(frozen=True)
class RewardedReplay:
    """Part of each batch is from episodes that had a reward (`RewardedReplayBuffer`).

    Attributes:
        share: How much of it, in (0, 1).

    Raises:
        InvalidArgumentError: A value outside its range.
    """

    name: ClassVar[str] = "rewarded"
    share: float = 0.5

    def __post_init__(self) -> None:
        require_share("share", self.share)


@dataclass(frozen=True)
class DemonstrationReplay:
    """Part of each batch is from demonstrations (`DemonstrationReplayBuffer`).

    Only for agents that act in a prior's latent space: its inverse makes latents of the actions.

    Attributes:
        data: Folder of a data set that they are taken from, with its rewards.
        share: How much of a batch, in (0, 1).
        episodes: The first so many of its episodes; 0 for all.

    Raises:
        InvalidArgumentError: A value outside its range.
    """

    name: ClassVar[str] = "demonstrations"
    data: str
    share: float = 0.5
    episodes: int = 500

    def __post_init__(self) -> None:
        check_fields(self)
        require_share("share", self.share)
        require_count("episodes", self.episodes, least=0)


Replay: TypeAlias = UniformReplay | RewardedReplay | DemonstrationReplay
REPLAYS: Mapping[str, type[Replay]] = MappingProxyType(
    {kind.name: kind for kind in (UniformReplay, RewardedReplay, DemonstrationReplay)}
)
"""Ways to draw batches, by name."""


STOCK_REPLAY = UniformReplay()


def replay_kind(name: str) -> type[Replay]:
    """The dataclass of this name.

    Raises:
        UnknownNameError: No such way.
    """
    require_known("replay", [name], REPLAYS)
    return REPLAYS[name]
