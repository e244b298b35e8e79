"""Which arrays of a foreign data set become the image, the vector, the actions and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.source import Choice, Part, Source
from parrot_wrapper.errors import DataError, InvalidArgumentError, unknown_name

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
    """Choose by the options, or by what is the only possibility.

    Raises:
        UnknownNameError: A name that is asked for is not there; the nearest is named.
        DataError: A part that is asked for cannot be used so, or something has to be asked for:
            one message says all that has, and what was found.
        InvalidArgumentError: Ends of episodes are named where the format itself has them.
    """
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
    image = _image(source.parts, free, options, asked)
    vectors = _vectors(source.parts, free, options, image, asked)
    if asked:
        found = listed({**source.fields, **source.parts})
        raise DataError(f"{source.name}: cannot tell {'; '.join(asked)}. Found: {found}.")
    taken |= {*([image] if image else []), *vectors, *ends}
    shapes = {k: source.parts[k].shape for k in vectors} | {
        k: source.fields[k].shape for k in actions
    }
    return Choice(
        image,
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
    for name in names:
        if name not in fields:
            raise unknown_name(option, name, fields)
    return names or [name for name in usual if name in fields]


def _image(
    parts: Mapping[str, Part], free: Mapping[str, Part], options: ImportOptions, asked: list[str]
) -> str | None:
    if not options.image:
        return None
    if options.image_key:
        part = _known(parts, options.image_key)
        if not part.is_image:
            raise DataError(
                f"Expected uint8 images of height, width and channels in {options.image_key!r}, "
                f"got shape {part.shape}, dtype {part.dtype}. {_CONVERT}."
            )
        return options.image_key
    images = [name for name, part in free.items() if part.is_image]
    if "image" in images:
        return "image"
    if not images:
        if floats := [name for name, part in free.items() if part.is_float_image]:
            asked.append(
                f"whether to do without images: {', '.join(floats)} has floats. {_CONVERT}; "
                "image=False (--no-image) leaves them out"
            )
        return None
    if (only := _only(images)) is None:
        asked.append(
            f"which image to take{_of(images)}: choose one with image_key (--image-key), or none "
            "with image=False (--no-image)"
        )
    return only


def _vectors(
    parts: Mapping[str, Part],
    free: Mapping[str, Part],
    options: ImportOptions,
    image: str | None,
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
    beside_image = options.image and (image or any(part.is_image for part in free.values()))
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
    if name not in parts:
        raise unknown_name("observation key", name, parts)
    return parts[name]
