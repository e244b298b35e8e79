"""How to take what a prior looks at out of an env's observations: pure functions over spaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypedDict

import numpy as np
from gymnasium import spaces

from parrot_wrapper.checks import float_array, number_array
from parrot_wrapper.errors import InvalidArgumentError, SpaceMismatchError
from parrot_wrapper.image_layout import ImageLayout, fitting_layout, usual_layout
from parrot_wrapper.types import (
    IMPORTED_KEYS_FACT,
    KEYS_FACT,
    PARTS,
    VECTORS,
    AnyArray,
    Observations,
    ObservationSpec,
    flat_parts,
)

Keys: TypeAlias = str | Sequence[str] | None
"""One key of a Dict observation, several whose values are joined, or None for the usual."""
ImageKeys: TypeAlias = str | Sequence[str] | Mapping[str, str] | None
"""Where a Dict observation has images: the key of the one called "image"; several keys, which are
the names of the images too; or a mapping from names to keys. None for the usual."""

_SIDE = 8
"""Of an image that is no uint8, at least, where nobody says that it is one."""


@dataclass(frozen=True)
class ObservationReader:
    """Brings a batch of an env's observations to what a prior reads.

    Attributes:
        keys: The prior's part ("image", "proprio", "state", a further image's name) to the env's
            keys, whose values are flattened and joined in this order; None where the env's
            observation is that part alone and no mapping.
        layouts: How the env's images are laid out, by the prior's part; the prior's are (H, W, C).
    """

    keys: Mapping[str, tuple[str, ...] | None]
    layouts: Mapping[str, ImageLayout] = field(default_factory=dict)

    @property
    def pixels(self) -> dict[str, list[float]]:
        """Least and greatest pixels of the env's images that are no uint8, by the prior's part."""
        ranges = {part: layout.pixels for part, layout in self.layouts.items()}
        return {part: list(pixels) for part, pixels in ranges.items() if pixels is not None}

    @property
    def env_keys(self) -> set[str]:
        """The keys of a Dict observation that are read."""
        return {key for keys in self.keys.values() for key in keys or ()}

    def __call__(self, observations: Observations) -> Observations:
        """What the prior reads of a batch of the env's observations: no copy if avoidable."""
        parts = self.parts(observations)
        return parts if len(parts) != 1 else next(iter(parts.values()))

    def parts(self, observations: Observations) -> dict[str, AnyArray]:
        """The same by the names of the parts, also where there is one only."""
        named = flat(observations)
        return {part: self._read(part, named, keys) for part, keys in self.keys.items()}

    def _read(
        self, part: str, observations: Observations, keys: tuple[str, ...] | None
    ) -> AnyArray:
        if isinstance(observations, Mapping):
            names = keys or (part,)
            missing = [name for name in names if name not in observations]
            if missing:
                raise SpaceMismatchError(
                    f"Expected {', '.join(missing)} in the observation, got "
                    f"{', '.join(map(str, observations))}."
                )
            arrays = [_array(name, observations[name]) for name in names]
        else:
            arrays = [_array(part, observations)]
        if part in self.layouts:  # what has too few axes is refused by the prior
            layout = self.layouts[part]
            return layout(arrays[0]) if arrays[0].ndim == layout.axes else arrays[0]
        vectors = [array.reshape(len(array), -1) for array in arrays]
        joined = vectors[0] if len(vectors) == 1 else np.concatenate(vectors, axis=1)
        return float_array(part, joined, SpaceMismatchError)


def _array(name: str, values: Any) -> AnyArray:
    return number_array(f"observation {name!r}", values, SpaceMismatchError)


class KeyOptions(TypedDict, total=False):
    """Where a Dict observation has the parts that a prior reads.

    What is in a Dict of a Dict is called "outer/inner"; parts of a Tuple are called "0", "1" ...

    Attributes:
        image_key: The image; None for where the prior's data had it, and "image" if they do not
            tell. With several cameras a mapping from the prior's names of images to the env's keys;
            those left out are as with None, which finds each under its own name.
        proprio_key: The same for the proprioception; several keys are joined in this order.
        state_key: The same for the state.
    """

    image_key: ImageKeys
    proprio_key: Keys
    state_key: Keys


def observation_keys(
    metadata: Mapping[str, Any],
    parts: Iterable[str] = PARTS,
    space: spaces.Space[Any] | None = None,
    *,
    image_key: ImageKeys = None,
    proprio_key: Keys = None,
    state_key: Keys = None,
) -> dict[str, tuple[str, ...]]:
    """The env's keys of these parts: as given, else as `metadata` tells, else the part's own name.

    Where a Dict `space` has no such name, but all of those that imported data had, or their last
    words, it is these.
    """
    space = None if space is None else flat_space(space)
    told = metadata.get(KEYS_FACT)
    known: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    known = {**_imported_keys(metadata.get(IMPORTED_KEYS_FACT), space), **known}
    images = named_images(image_key)
    seen = {"image", *parts} - set(VECTORS)
    if not images.keys() <= seen:
        raise InvalidArgumentError(
            f"Expected keys of {', '.join(sorted(seen))} in image_key, got {image_key!r}."
        )
    given = {**images, "proprio": proprio_key, "state": state_key}
    wanted = dict.fromkeys([*parts, *given])  # what is given is checked, needed or not
    return {
        part: _as_keys(part, known.get(part) or part if given.get(part) is None else given[part])
        for part in wanted
    }


def named_images(image_key: ImageKeys) -> dict[str, Any]:
    """Keys of images by the images' names, as an `image_key` gives them."""
    if image_key is None:
        return {}
    if isinstance(image_key, Mapping):
        return dict(image_key)
    if not isinstance(image_key, str) and isinstance(image_key, Sequence) and len(image_key) > 1:
        return {_text(key): key for key in image_key}
    return {"image": image_key}


def _imported_keys(imported: Any, space: spaces.Space[Any] | None) -> dict[str, Any]:
    if not isinstance(imported, Mapping) or not isinstance(space, spaces.Dict):
        return {}
    found = {
        part: [_as_offered(str(key), space) for key in ([keys] if isinstance(keys, str) else keys)]
        for part, keys in imported.items()
        if part not in space.spaces and isinstance(keys, str | list)
    }
    return {part: keys for part, keys in found.items() if all(key in space.spaces for key in keys)}


def _as_offered(key: str, space: spaces.Dict) -> str:
    """A key, or its last word where only that is there: "observation.images.top" may be "top"."""
    last = key.replace("/", ".").rpartition(".")[2]
    return last if key not in space.spaces and last in space.spaces else key


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidArgumentError(f"Expected keys of images as text, got {key!r}.")
    return key


def _as_keys(part: str, keys: Any) -> tuple[str, ...]:
    named = (keys,) if isinstance(keys, str) else keys
    if not isinstance(named, Sequence) or not named or not all(isinstance(k, str) for k in named):
        argument = part if part in VECTORS else "image"
        raise InvalidArgumentError(
            f"Expected the key of a Dict observation as {argument}_key, or a sequence of keys to "
            f"join, got {keys!r}."
        )
    if part not in VECTORS and len(named) > 1:
        raise InvalidArgumentError(f"Expected one key for each image in image_key, got {keys!r}.")
    return tuple(named)


def match_observation(
    space: spaces.Space[Any], spec: ObservationSpec, keys: Mapping[str, tuple[str, ...]]
) -> tuple[ObservationReader, list[str]]:
    """How to read `spec` out of observations of `space`, and everything that is in the way."""
    shapes, space = spec.parts, flat_space(space)
    wanted: dict[str, tuple[str, ...] | None] = dict.fromkeys(list(shapes)[:1])
    if isinstance(space, spaces.Dict):
        wanted = {part: keys[part] for part in shapes}
    problems = [
        f"{part}: expected beside the image in a Dict observation, got {described(space)}"
        for part in shapes
        if part not in wanted
    ]
    layouts: dict[str, ImageLayout] = {}
    for part, names in wanted.items():
        where = _where(names)
        found = _offered(space, names)
        missing = [key for key, offered in found.items() if offered is None]
        if part not in VECTORS:
            layouts[part] = ImageLayout()
        if missing:
            problems.append(
                f"{where}: expected the {part}, got the keys {', '.join(_names(space))}; "
                f"say where it is with {_argument(part)}"
            )
        elif part in layouts:
            layouts[part], more = _image_problems(next(iter(found.values())), shapes[part], where)
            problems += more
        else:
            problems += _vector_problems(list(found.values()), shapes[part], where, part)
    return ObservationReader(wanted, layouts), problems


def _argument(part: str) -> str:
    if part == "image" or part in VECTORS:
        return f"{part}_key"
    return f"image_key={{{part!r}: ...}}"


def reader_of_space(
    space: spaces.Space[Any], *, image: ImageKeys, proprio: Keys, state: Keys
) -> ObservationReader:
    """How to read an env that no prior has seen yet: for recording data of it.

    A Box of uint8, or with the shape of an image, is an image, another Box a state. Of a Dict, the
    keys that are given are read; if none is, those called "image", "proprio" and "state", and all
    images where there are several, which keep their names.
    """
    space = flat_space(space)
    if not isinstance(space, spaces.Dict):
        coded = isinstance(space, spaces.Box) and space.dtype == np.uint8
        part = "image" if coded or _is_image(space) else "state"
        chosen: dict[str, tuple[str, ...] | None] = {part: None}
    else:
        if image is None and proprio is None and state is None:
            found = [key for key, box in space.spaces.items() if key == "image" or _is_image(box)]
            image = found if len(found) > 1 or "image" in found else None
            proprio, state = (name if name in space.spaces else None for name in VECTORS)
        given = {**named_images(image), "proprio": proprio, "state": state}
        parts = [part for part, keys in given.items() if keys is not None]
        keys = observation_keys({}, parts, image_key=image, proprio_key=proprio, state_key=state)
        chosen = {part: keys[part] for part in parts}
    problems = [] if chosen else [f"got the keys {', '.join(_names(space))}; say which to read"]
    layouts: dict[str, ImageLayout] = {}
    for part, names in chosen.items():
        for key, offered in _offered(space, names).items():
            problems += _unreadable(part, offered, _where((key,) if key else None))
            if part not in VECTORS and not problems and isinstance(offered, spaces.Box):
                layouts[part] = replace(usual_layout(offered.shape), pixels=_pixels(offered))
    if problems:
        raise SpaceMismatchError(
            "The env's observations cannot be read: " + "; ".join(problems) + ". Arguments: "
            "image_key, proprio_key and state_key."
        )
    return ObservationReader(chosen, layouts)


def _unreadable(part: str, space: spaces.Space[Any] | None, where: str) -> list[str]:
    if part not in VECTORS:
        expected = "an image (H, W, C), (C, H, W) or (H, W)"
        box = space if isinstance(space, spaces.Box) else None
        fits = box is not None and len(box.shape) in (2, 3, 4)
        if fits and box is not None and not _stated(box):
            return [f"{where}: {_UNSTATED}, got {described(space)}"]
    else:
        expected = f"the {part}, a float Box"
        fits = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    got = "no such key" if space is None else described(space)
    return [] if fits else [f"{where}: expected {expected}, got {got}"]


_UNSTATED = (
    "expected least and greatest pixels as the bounds of the image's Box; "
    "gymnasium.wrappers.TransformObservation states them"
)


def _is_image(space: spaces.Space[Any] | None) -> bool:
    """Whether to take it for an image where nobody says so."""
    if not isinstance(space, spaces.Box):
        return False
    if space.dtype == np.uint8 and len(space.shape) in (3, 4):
        return True
    sides = sorted(space.shape, reverse=True)
    few = len(sides) == 2 or (len(sides) == 3 and sides[2] < _SIDE)
    return few and sides[1] >= _SIDE


def _stated(space: spaces.Box) -> bool:
    low, high = float(space.low.min()), float(space.high.max())
    return bool(np.isfinite([low, high]).all() and low < high)


def _pixels(space: spaces.Box) -> tuple[float, float] | None:
    if space.dtype == np.uint8 or not _stated(space):
        return None
    return float(space.low.min()), float(space.high.max())


def _names(space: spaces.Space[Any]) -> list[str]:
    return [str(key) for key in space.spaces] if isinstance(space, spaces.Dict) else []


def _offered(
    space: spaces.Space[Any], names: tuple[str, ...] | None
) -> dict[str | None, spaces.Space[Any] | None]:
    if names is None:
        return {None: space}
    inside = space.spaces if isinstance(space, spaces.Dict) else {}
    return {name: inside.get(name) for name in names}


def _where(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "observation"
    return " + ".join(f"observation[{name!r}]" for name in names)


def _image_problems(
    space: spaces.Space[Any] | None, shape: tuple[int, ...], where: str
) -> tuple[ImageLayout, list[str]]:
    first = (shape[-1], *shape[:-1])
    expected = f"{where}: expected an image {shape}, or channels first {first}"
    if not isinstance(space, spaces.Box):
        return ImageLayout(), [f"{expected}, got {described(space)}"]
    problems = []
    layout = fitting_layout(space.shape, shape)
    if layout is None:
        order = sorted(space.shape) == sorted(shape)
        hint = "; the channels are in the middle" if order else ""
        problems.append(f"{expected}, got shape {space.shape}{hint}")
    if space.dtype != np.uint8:
        problems += [] if _stated(space) else [f"{where}: {_UNSTATED}, got {described(space)}"]
    elif space.low.min() != 0 or space.high.max() != 255:
        problems.append(
            f"{where}: expected pixels 0 to 255, got {space.low.min()} to {space.high.max()}"
        )
    return replace(layout or ImageLayout(), pixels=_pixels(space)), problems


def _vector_problems(
    offered: list[spaces.Space[Any] | None], shape: tuple[int, ...], where: str, part: str
) -> list[str]:
    boxes = [space for space in offered if isinstance(space, spaces.Box)]
    if len(boxes) < len(offered):
        got = " + ".join(described(space) for space in offered)
        return [f"{where}: expected the {part}, a float Box {shape}, got {got}"]
    problems = []
    length = sum(int(np.prod(box.shape)) for box in boxes)
    if (length,) != shape:
        got = " + ".join(str(box.shape) for box in boxes)
        problems.append(f"{where}: expected the {part} of shape {shape}, got shape {got}")
    strange = [box.dtype for box in boxes if not np.issubdtype(box.dtype, np.floating)]
    if strange:
        problems.append(f"{where}: expected the {part} in float32, got {strange[0]}")
    return problems


def described(space: spaces.Space[Any] | None) -> str:
    """A space in few words."""
    if isinstance(space, spaces.Box):
        return f"Box {space.shape} {space.dtype}"
    return str(space)


def flat_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """A Dict of all that there is in nested Dicts and Tuples, named outer/inner; others as is."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return space
    named = space.spaces if isinstance(space, spaces.Dict) else dict(enumerate(space.spaces))
    whole: dict[str, spaces.Space[Any]] = {}
    for name, part in named.items():
        inner = flat_space(part)
        inside = inner.spaces.items() if isinstance(inner, spaces.Dict) else ()
        whole |= {f"{name}/{key}": box for key, box in inside} or {str(name): inner}
    return spaces.Dict(whole)


def flat(observations: Any) -> Any:
    """The same of an observation, or of a batch."""
    nested = isinstance(observations, Mapping) or (
        isinstance(observations, tuple) and any(map(_has_parts, observations))
    )
    return flat_parts(observations) if nested else observations


def _has_parts(part: Any) -> bool:
    return isinstance(part, Mapping | tuple) or getattr(part, "ndim", 0) > 0


def with_batch_axis(observation: Any) -> Any:
    """A batch of this one observation, or of the parts of a mapping; the reader checks it."""
    return stacked([observation])


def stacked(observations: Sequence[Any]) -> Any:
    """A batch of these: lists, since what the prior does not read may be anything."""
    observations = [flat(own) for own in observations]
    first = observations[0]
    if isinstance(first, Mapping):
        common = [key for key in first if all(key in own for own in observations)]
        return {key: [own[key] for own in observations] for key in common}
    return list(observations)


def rows_of(observations: Any) -> int:
    """How many observations a batch has."""
    named = flat(observations)
    parts = named.values() if isinstance(named, Mapping) else [named]
    return len(next(iter(parts)))


def copied(observations: Observations) -> Observations:
    """A copy of a batch."""
    if isinstance(observations, Mapping):
        return {key: part.copy() for key, part in observations.items()}
    copy: AnyArray = observations.copy()
    return copy
