"""Images as envs and data have them, brought to (H, W, C): channels first, stacks of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parrot_wrapper.types import AnyArray

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ImageLayout:
    """How one image or stack of frames is laid out.

    Attributes:
        stacked: A leading axis counts frames, the oldest first, as gymnasium's
            `FrameStackObservation` makes it. Frames become channels, as in SB3's `VecFrameStack`.
        channels_first: A frame is (C, H, W).
        channels: Channels to keep, the newest frames'; None for all.
    """

    stacked: bool = False
    channels_first: bool = False
    channels: int | None = None

    def __call__(self, images: AnyArray) -> AnyArray:
        """Bring a batch (B, ...) to (B, H, W, C); a view where that is possible."""
        if self.channels_first:
            images = np.moveaxis(images, -3, -1)
        if self.stacked:
            folded = np.moveaxis(images, 1, 3)  # (B, H, W, N, C)
            images = folded.reshape(*folded.shape[:3], -1)
        if self.channels is None or images.shape[-1] == self.channels:
            return images
        return images[..., -self.channels :]


def fitting_layout(shape: Shape, wanted: Shape) -> ImageLayout | None:
    """How observations of `shape` become images `wanted` (H, W, C); None if they cannot.

    Where the env stacks more frames than the images have, the newest are taken.
    """
    height, width, channels = wanted
    if len(shape) == 3:
        if shape == wanted:
            return ImageLayout()
        return ImageLayout(channels_first=True) if shape == (channels, height, width) else None
    if len(shape) != 4:
        return None
    for first, frame in ((False, shape[1:]), (True, (*shape[2:], shape[1]))):
        count = channels // frame[2]
        if frame[:2] == (height, width) and count * frame[2] == channels and count <= shape[0]:
            return ImageLayout(stacked=True, channels_first=first, channels=channels)
    return None


def usual_layout(shape: Shape) -> ImageLayout:
    """The layout of images (H, W, C), (C, H, W) or stacks of either, by the shape alone.

    Channels are first where they are fewer than rows and columns, and last otherwise.
    """
    first, *others = shape[-3:]
    return ImageLayout(stacked=len(shape) == 4, channels_first=first < min(others))


def is_images(name: str, rows: AnyArray) -> bool:
    """Whether an array of rows is of images: it is called so, or uint8 and has their axes."""
    return name == "image" or (rows.dtype == np.uint8 and rows.ndim in (4, 5))


def channels_last(images: AnyArray) -> AnyArray:
    """Rows of images, (rows, H, W, C), from rows of `usual_layout`; other arrays unchanged."""
    if images.ndim not in (4, 5):
        return images
    return usual_layout(images.shape[1:])(images)
