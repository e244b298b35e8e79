"""Which parts of a foreign observation become the image and the vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.source import Part
from parrot_wrapper.errors import DataError
from parrot_wrapper.names import unknown_name


@dataclass(frozen=True)
class Choice:
    """What is taken of each observation.

    Attributes:
        image: The part that becomes "image", or None.
        vectors: The parts that become `vector_name`, one after the other.
        left_out: The other parts.
    """

    image: str | None
    vectors: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def vector_name(self) -> str:
        """What the vector is called: "proprio" beside an image, "state" without."""
        return "state" if self.image is None else "proprio"

    @property
    def keys(self) -> tuple[str, ...]:
        """All parts that are taken."""
        return (*([self.image] if self.image else []), *self.vectors)


def choose(parts: Mapping[str, Part], options: ImportOptions) -> Choice:
    """Choose by the options, or by what is the only possibility.

    Raises:
        UnknownNameError: A key that is asked for is not there; the nearest is named.
        DataError: A key that is asked for cannot be used so, or there is more than one to choose
            from, or none.
    """
    image = _image(parts, options.image_key) if options.image else None
    vectors = _vectors(parts, options.vector_keys, image)
    if image is None and not vectors:
        raise DataError(
            f"Expected an observation with a uint8 image or a vector, got {_listed(parts)}. Float "
            "images have to be converted first: (255 * x).round().astype(np.uint8) for 0 ... 1."
        )
    taken = {image, *vectors}
    return Choice(image, vectors, tuple(name for name in parts if name not in taken))


def _image(parts: Mapping[str, Part], wanted: str) -> str | None:
    if wanted:
        part = _known(parts, wanted)
        if not part.is_image:
            raise DataError(
                f"Expected uint8 images of height, width and channels in {wanted!r}, got shape "
                f"{part.shape}, dtype {part.dtype}. Float images have to be converted first: "
                "(255 * x).round().astype(np.uint8) for 0 ... 1."
            )
        return wanted
    images = [name for name, part in parts.items() if part.is_image]
    if "image" in images or len(images) < 2:
        return "image" if "image" in images else (images[0] if images else None)
    raise DataError(
        f"Expected one image in each observation, got {', '.join(images)}. Choose one with "
        "image_key (--image-key)."
    )


def _vectors(
    parts: Mapping[str, Part], wanted: tuple[str, ...], image: str | None
) -> tuple[str, ...]:
    for name in wanted:
        if not _known(parts, name).is_vector:
            raise DataError(
                f"Expected a vector of numbers in {name!r}, got shape {parts[name].shape}, dtype "
                f"{parts[name].dtype}."
            )
    vectors = [name for name, part in parts.items() if part.is_vector]
    usual = "state" if image is None else "proprio"
    if wanted or usual in vectors:
        return wanted or (usual,)
    if image is not None or not vectors:
        return ()
    if len(vectors) > 1:
        raise DataError(
            f"Expected one vector in each observation, got {', '.join(vectors)}. Choose with "
            "vector_keys (--vector-keys), one or several."
        )
    return (vectors[0],)


def _known(parts: Mapping[str, Part], name: str) -> Part:
    if name not in parts:
        raise unknown_name("observation key", name, parts)
    return parts[name]


def _listed(parts: Mapping[str, Part]) -> str:
    return ", ".join(f"{name} {part.shape} {part.dtype}" for name, part in parts.items()) or "none"
