"""Images as the data format has them, (H, W, C) uint8 of one size, also out of MP4 files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.data.exchange.guarded_files import foreign_errors, require_modest
from parrot_wrapper.errors import DataError, DataFileError, needed_extra
from parrot_wrapper.types import ImageArray

_MAX_PIXELS = 32 * 1024**2


def resized(images: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Images (rows, H, W, C) brought to another height and width, smoothly; nothing is cut off."""
    height, width = size
    if images.shape[1:3] == (height, width):
        return images
    if images.shape[-1] not in (1, 3, 4):
        raise DataError(
            f"Expected 1, 3 or 4 channels to resize, got {images.shape[-1]}. Stack frames in the "
            "env instead of the data, or resize before importing."
        )
    pillow = _pillow()
    result = np.empty((len(images), height, width, images.shape[-1]), np.uint8)
    for row, image in enumerate(images):
        plain = image[..., 0] if image.shape[-1] == 1 else image
        # Pillow's bilinear filter looks at every pixel it shrinks away: no aliasing
        smaller = pillow.fromarray(np.ascontiguousarray(plain)).resize(
            (width, height), pillow.Resampling.BILINEAR
        )
        result[row] = np.asarray(smaller).reshape(height, width, -1)
    return result


def decoded(content: bytes, path: Path) -> ImageArray:
    """A PNG or JPEG of which `content` is all as an array (H, W, 3); `path` is for messages."""
    pillow = _pillow()
    with foreign_errors(path, "PNG or JPEG images"):
        image = pillow.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        require_few_pixels(path, image.height, image.width)
        pixels: ImageArray = np.asarray(image.convert("RGB"))
        return pixels


def require_few_pixels(path: Path, height: int, width: int) -> None:
    """Refuse an image by its declared size, before its pixels are decoded."""
    if not 0 < height * width <= _MAX_PIXELS:
        raise DataFileError(
            f"{path}: expected images of 1 to {_MAX_PIXELS} pixels, got {height} x {width}."
        )


def _pillow() -> Any:
    with needed_extra("lerobot", "Reading and resizing images needs Pillow"):
        from PIL import Image
    return Image


def video_frames(
    path: Path,
    *,
    start: float,
    count: int,
    fps: float,
    shrink: Callable[[ImageArray], ImageArray],
) -> ImageArray:
    """`count` frames (count, H, W, 3) from second `start` on.

    Args:
        path: The MP4 file.
        start: In seconds from the beginning.
        count: How many, at least 1.
        fps: Frames per second.
        shrink: Applied to each frame (1, H, W, 3) at once, so that big ones are not kept.
    """
    with needed_extra("lerobot", "Videos of LeRobot need PyAV"):
        import av
    frames: dict[int, ImageArray] = {}
    # a file object and a fixed format: playlists and other protocols cannot be smuggled in
    with (
        foreign_errors(path, "an MP4 video"),
        path.open("rb") as stream,
        av.open(stream, format="mp4") as film,
    ):
        video = film.streams.video[0]
        require_few_pixels(path, video.height, video.width)
        first = float(video.start_time * video.time_base) if video.start_time else 0.0
        # half a frame early, since a seek must not end up behind the first frame
        position = int(max(0.0, first + start - 0.5 / fps) / video.time_base)
        film.seek(position, stream=video, backward=True)
        for frame in film.decode(video):
            index = round((frame.time - first - start) * fps)
            if index >= count:
                break
            if index >= 0 and index not in frames:
                require_few_pixels(path, frame.height, frame.width)
                frames[index] = shrink(frame.to_ndarray(format="rgb24")[None])
                require_modest(str(path), (count, *frames[index].shape), np.dtype(np.uint8))
    if len(frames) < count:
        raise DataFileError(
            f"{path}: expected {count} frames from second {start:.3f} on, found {len(frames)}. The "
            "download may be incomplete."
        )
    return np.concatenate([frames[index] for index in range(count)])
