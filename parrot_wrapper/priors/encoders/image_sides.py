"""Images of any size for encoders that work on blocks of pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.types import ObservationSpec

_LEAST = 4


def require_image(encoder: str, observation: ObservationSpec) -> tuple[int, int, int]:
    """The image's shape (H, W, C).

    Raises:
        InvalidArgumentError: There is none, or it is smaller than 4 pixels a side.
    """
    image = observation.image
    if image is None or min(image[:2]) < _LEAST:
        raise InvalidArgumentError(
            f"The {encoder} encoder needs images (H, W, C) of at least {_LEAST} pixels a side, got "
            f"{image}."
        )
    return image


def quarter(side: int) -> int:
    """Blocks of 4 pixels that cover a side."""
    return -(-side // 4)


def padded(image: Tensor, block: int) -> Tensor:
    """Images (B, H, W, C) with the last row and column repeated until both sides divide."""
    height, width = image.shape[1:3]
    below, right = -height % block, -width % block
    if not below and not right:
        return image
    first = image.permute(0, 3, 1, 2).float()  # there is no replication of uint8
    grown = functional.pad(first, (0, right, 0, below), mode="replicate")
    return grown.permute(0, 2, 3, 1).to(image.dtype)
