"""Which arrays of a foreign data set become the image, the vector, the actions and so on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from parrot_wrapper.data.exchange.source import Choice, Part, Source
from parrot_wrapper.errors import DataError, InvalidArgumentError, require_known

ACTION_NAMES = ("actions", "action")
REWARD_NAMES = ("rewards", "reward", "next.reward")
SUCCESS_NAMES = ("is_success", "success", "next.success")
END_NAMES = (
    *("terminals", "timeouts", "terminations", "truncations", "terminated", "truncated"),
    *("terminal", "timeout", "dones", "done"),
)
_ROLES = {*ACTION_NAMES, *REWARD_NAMES, *SUCCESS_NAMES, *END_NAMES}
_MOST_LISTED = 40
_CONVERT = "Float images have to be converted first: (255 * x).round().astype(np.uint8) for 0 ... 1"


def choose(source: Source, options: ImportOptions) -> Choice:
    """Choose by the options, or by what is the only possibility."""
    if not source.flat and (options.end_keys or options.one_episode):
        raise InvalidArgumentError(
            f"{source.name}: this format keeps its episodes apart itself. Leave out end_keys "
            "(--end-keys) and one_episode (--one-episode)."
        )
    asked: list[str] = []
    actions = _named(source.fields, "action_key", [options.action_key], ACTION_NAMES)
    rewards = _named(source.fields, "reward_key", [options.reward_key], REWARD_NAMES)
    success = _named(source.fields, "success_key", [options.success_key], SUCCESS_NAMES)
    flags = _named(source.fields, "end_keys", options.end_keys, END_NAMES)
    ends = flags if source.flat and not options.one_episode else []
    if len(actions) != 1:
        asked.append(
            f"which array has the actions{_of(actions)}: name it with action_key (--action-key)"
        )
    taken = {*actions, *rewards[:1], *success[:1]}
    free = {k: part for k, part in source.parts.items() if k not in taken | _ROLES}
    images = _images(source, free, options, asked)
    vectors = _vectors(source.parts, free, options, asked)
    if asked:
        found = listed({**source.fields, **source.parts})
        raise DataError(f"{source.name}: cannot tell {'; '.join(asked)}. Found: {found}.")
    taken |= {*images, *vectors, *ends}
    shapes = {k: source.parts[k].shape for k in vectors} | {
        k: source.fields[k].shape for k in actions
    }
    return Choice(
        images,
        vectors,
        tuple(name for name in source.parts if name not in taken),
        actions[0],
        rewards[0] if rewards else None,
        success[0] if success else None,
        tuple(ends),
        {name: shape for name, shape in shapes.items() if len(shape) > 1},
    )


def listed(parts: Mapping[str, Part]) -> str:
    """Names, shapes of a step and dtypes of arrays, for messages."""
    told = [f"{name} {part.shape} {part.dtype}" for name, part in parts.items()]
    more = [f"and {len(told) - _MOST_LISTED} more"] if len(told) > _MOST_LISTED else []
    return ", ".join([*told[:_MOST_LISTED], *more]) or "none"


def _named(
    fields: Mapping[str, Part], option: str, wanted: Sequence[str], usual: Sequence[str]
) -> list[str]:
    """What is asked for, or else all that is called as usual."""
    names = [name for name in wanted if name]
    require_known(option, names, fields)
    return names or [name for name in usual if name in fields]


def _images(
    source: Source, free: Mapping[str, Part], options: ImportOptions, asked: list[str]
) -> tuple[str, ...]:
    if not options.image:
        return ()
    for name in options.image_key:
        part = _known(source.parts, name)
        if not part.is_image:
            raise DataError(
                f"Expected uint8 images of height, width and channels in {name!r}, got shape "
                f"{part.shape}, dtype {part.dtype}. {_CONVERT}."
            )
    if options.image_key:
        return options.image_key
    images = tuple(name for name, part in free.items() if part.is_image)
    if source.takes_all:
        return images
    if "image" in images:
        return ("image",)
    if not images and (floats := [name for name, part in free.items() if part.is_float_image]):
        asked.append(
            f"whether to do without images: {', '.join(floats)} has floats. {_CONVERT}; "
            "image=False (--no-image) leaves them out"
        )
    if images and (only := _only(images)) is not None:
        return (only,)
    if images:
        asked.append(
            f"which image to take{_of(images)}: choose one or several with image_key "
            "(--image-key), or none with image=False (--no-image)"
        )
    return ()


def _vectors(
    parts: Mapping[str, Part],
    free: Mapping[str, Part],
    options: ImportOptions,
    asked: list[str],
) -> tuple[str, ...]:
    for name in options.vector_keys:
        if not _known(parts, name).can_be_vector:
            raise DataError(
                f"Expected a vector of numbers in {name!r}, got shape {parts[name].shape}, dtype "
                f"{parts[name].dtype}."
            )
    if options.vector_keys:
        return options.vector_keys
    images = options.image_key or any(part.is_image for part in free.values())
    beside_image = options.image and images
    usual = "proprio" if beside_image else "state"
    if usual in free and free[usual].can_be_vector:
        return (usual,)
    if beside_image:
        return ()
    vectors = [name for name, part in free.items() if part.is_vector]
    if not vectors:
        asked.append(
            f"what to observe: expected a uint8 image or a vector, got {listed(free)}. Name arrays "
            f"of two axes with vector_keys (--vector-keys). {_CONVERT}"
        )
        return ()
    if (only := _only(vectors)) is None:
        asked.append(
            f"which vector to take{_of(vectors)}: choose with vector_keys (--vector-keys), one or "
            "several"
        )
        return ()
    return (only,)


def _only(names: Sequence[str]) -> str | None:
    """The only name, or the only one that says that it is an observation."""
    told = [name for name in names if name.startswith("observation")]
    for few in (names, told):
        if len(few) == 1:
            return few[0]
    return None


def _of(names: Sequence[str]) -> str:
    return f" of {', '.join(names)}" if names else ""


def _known(parts: Mapping[str, Part], name: str) -> Part:
    require_known("observation key", [name], parts)
    return parts[name]


Keep = Literal["successes", "all"]


@dataclass(frozen=True)
class ImportOptions:
    """What to take out of a foreign data set, and how.

    Attributes:
        image_key: The camera to take, or several, which keep their names; one alone is called
            image. Left out, it is the only image there is, or the one called image.
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
        >>> ImportOptions(image_key=("agentview_image",), image_size=(48, 48)).keep
        'successes'
    """

    image_key: tuple[str, ...] = ()
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
        for keys in ("image_key", "vector_keys", "end_keys"):
            given = getattr(self, keys)
            named = ([given] if given else []) if isinstance(given, str) else given
            object.__setattr__(self, keys, tuple(dict.fromkeys(named)))
        require_known("choice of keep", [self.keep], get_args(Keep))
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
