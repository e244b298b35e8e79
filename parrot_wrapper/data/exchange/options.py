"""What to take out of a foreign data set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from parrot_wrapper.errors import InvalidArgumentError, unknown_name

Keep = Literal["successes", "all"]


@dataclass(frozen=True)
class ImportOptions:
    """What to take out of a foreign data set, and how.

    Attributes:
        image_key: The camera to take. Left out, it is the only image there is, or the one called
            image.
        vector_keys: Vectors to take, put one after the other in this order: "proprio" beside an
            image, "state" without one. Left out, it is a part called so, or, without an image, the
            only vector there is. Arrays of two axes are flattened.
        action_key: The array of actions. Left out, it is the one called actions or action.
        reward_key: The array of rewards. Left out, it is called rewards, reward or next.reward.
        success_key: The array whose last value in an episode says whether it succeeded. Left out,
            it is called is_success, success or next.success.
        end_keys: For arrays that hold many episodes: those that are true at the last step of one.
            Left out, they are all that are called terminals, timeouts, terminations, truncations,
            dones and the like.
        one_episode: Each file of arrays is one episode, whatever its flags say.
        image: Take an image where there is one.
        image_size: Height and width that images are brought to; as they are where left out.
        action_low: Lower edge of the env's action box, one number or one for each dimension; as
            the data set tells, or else as its actions span, where left out.
        action_high: The upper edge.
        keep: "successes" drops episodes that are known to have failed; where nothing is known, all
            are kept.
        success_reward: Call an episode a success if its last reward is at least this. Left out,
            only what the data set itself says counts.
        episodes: Read only the first so many; 0 for all.

    Raises:
        InvalidArgumentError: A value is out of range, or two of them contradict each other.

    Example:
        >>> ImportOptions(image_key="agentview_image", image_size=(48, 48)).keep
        'successes'
    """

    image_key: str = ""
    vector_keys: tuple[str, ...] = ()
    action_key: str = ""
    reward_key: str = ""
    success_key: str = ""
    end_keys: tuple[str, ...] = ()
    one_episode: bool = False
    image: bool = True
    image_size: tuple[int, int] | None = None
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    keep: Keep = "successes"
    success_reward: float | None = None
    episodes: int = 0

    def __post_init__(self) -> None:
        """Check every value; a single name may stand for a tuple of one."""
        for keys in ("vector_keys", "end_keys"):
            given = getattr(self, keys)
            object.__setattr__(self, keys, (given,) if isinstance(given, str) else tuple(given))
        if self.keep not in get_args(Keep):
            raise unknown_name("choice of keep", str(self.keep), get_args(Keep))
        if self.episodes < 0:
            raise InvalidArgumentError(
                f"Expected the number of episodes to read, or 0 for all, got {self.episodes}."
            )
        if self.image_size is not None and not all(8 <= side <= 4096 for side in self.image_size):
            raise InvalidArgumentError(
                f"Expected an image_size of height and width in 8 ... 4096, got {self.image_size}."
            )
        if not self.image and (self.image_key or self.image_size):
            raise InvalidArgumentError(
                "Expected no image_key and no image_size where no image is taken. Leave out one or "
                "the other."
            )
        if self.one_episode and self.end_keys:
            raise InvalidArgumentError(
                "Expected end_keys or one_episode, got both. Leave out one or the other."
            )
        if self.success_key and self.success_reward is not None:
            raise InvalidArgumentError(
                "Expected success_key or success_reward, got both. Leave out one or the other."
            )
        if len(self.action_low) != len(self.action_high):
            raise InvalidArgumentError(
                "Expected action_low and action_high of the same length, got "
                f"{len(self.action_low)} and {len(self.action_high)} numbers."
            )
        edges = zip(self.action_low, self.action_high, strict=True)
        if not all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in edges):
            raise InvalidArgumentError(
                "Expected finite action_low < action_high in every dimension, got "
                f"{self.action_low} and {self.action_high}."
            )
