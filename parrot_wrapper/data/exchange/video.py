"""Frames out of MP4 files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.data.exchange.guarded_files import foreign_errors, require_modest
from parrot_wrapper.data.exchange.images import require_few_pixels
from parrot_wrapper.errors import DataFileError, MissingExtraError
from parrot_wrapper.types import ImageArray


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

    Raises:
        DataFileError: It is no MP4, is broken, or has not all of the frames.
        MissingExtraError: PyAV is not installed.
    """
    av = _av()
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


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(
            f"Videos of LeRobot need PyAV: pip install 'parrot-wrapper[lerobot]' ({error})."
        ) from error
    return av
