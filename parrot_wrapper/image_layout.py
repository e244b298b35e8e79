"""Images as envs and data have them, brought to uint8 (H, W, C): other axes, other pixels."""

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
        grey: A frame is (H, W), without an axis of channels.
        pixels: Least and greatest value of a pixel, which become 0 and 255, evenly between them;
            None for uint8 pixels, which stay as they are.
    """

    stacked: bool = False
    channels_first: bool = False
    channels: int | None = None
    grey: bool = False
    pixels: tuple[float, float] | None = None

    @property
    def axes(self) -> int:
        """Of a batch."""
        return 4 + self.stacked - self.grey

    def __call__(self, images: AnyArray) -> AnyArray:
        """Bring a batch (B, ...) to (B, H, W, C) uint8; a view where that is possible.

        Pixels without a value (NaN, where a depth camera sees nothing) count as the least.
        """
        if self.pixels is not None:
            low, high = self.pixels
            levels = (np.asarray(images, np.float64) - low) * (255.0 / (high - low))
            levels = np.nan_to_num(levels, posinf=255.0).clip(0.0, 255.0)
            images = levels.round().astype(np.uint8)
        if self.grey:
            images = images[..., None]
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
    if len(shape) == 2:
        return ImageLayout(grey=True) if (*shape, 1) == wanted else None
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
    """The layout of images (H, W, C), (C, H, W), stacks of either or (H, W), by the shape alone.

    Channels are first where they are fewer than rows and columns, and last otherwise.
    """
    if len(shape) == 2:
        return ImageLayout(grey=True)
    first, *others = shape[-3:]
    return ImageLayout(stacked=len(shape) == 4, channels_first=first < min(others))


def is_images(name: str, rows: AnyArray) -> bool:
    """Whether an array of rows is of images: it is called so, or uint8 and has their axes."""
    return name == "image" or (rows.dtype == np.uint8 and rows.ndim in (4, 5))


def channels_last(images: AnyArray) -> AnyArray:
    """Rows of images, (rows, H, W, C), from rows of `usual_layout`; other arrays unchanged."""
    if images.ndim not in (3, 4, 5):
        return images
    return usual_layout(images.shape[1:])(images)
