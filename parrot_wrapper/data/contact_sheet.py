"""A data set at a glance: one row an episode, frames from its first to its last."""

from __future__ import annotations

import numpy as np

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.types import ImageArray

_GAP = 2
_BACKGROUND = 255


def contact_sheet(dataset: EpisodeDataset, *, episodes: int = 8, frames: int = 8) -> ImageArray:
    """Images of a data set as one picture (H, W, 3) uint8.

    Args:
        dataset: With images of 1, 3 or more channels; of more than 3, the last 3 are shown.
        episodes: Rows, spread evenly over the data set; fewer where it has fewer.
        frames: Columns, spread evenly over each episode, the first and the last included.

    Raises:
        DataError: There are no images.
        InvalidArgumentError: `episodes` or `frames` is below 1.

    Example:
        >>> images = np.zeros((12, 32, 48, 3), np.uint8)
        >>> data = EpisodeDataset.from_arrays(images, np.eye(10), [4, 6])
        >>> contact_sheet(data, frames=3).shape
        (70, 152, 3)
    """
    if episodes < 1 or frames < 1:
        raise InvalidArgumentError(
            f"Expected at least one episode and one frame, got {episodes} and {frames}."
        )
    if "image" not in dataset.observations:
        raise DataError(
            f"Expected a data set with images, got {', '.join(dataset.observations)} only."
        )
    images = dataset.observations["image"]
    height, width, channels = images.shape[1:]
    chosen = _spread(dataset.n_episodes, episodes)
    sheet = np.full(
        (len(chosen) * (height + _GAP) + _GAP, frames * (width + _GAP) + _GAP, 3),
        _BACKGROUND,
        np.uint8,
    )
    for row, episode in enumerate(chosen):
        steps = np.linspace(0, dataset.lengths[episode], frames).round().astype(np.int64)
        top = row * (height + _GAP) + _GAP
        for column, index in enumerate(dataset.obs_offsets[episode] + steps):
            left = column * (width + _GAP) + _GAP
            image = images[index]
            shown = image[..., -3:] if channels >= 3 else image[..., -1:]
            sheet[top : top + height, left : left + width] = shown
    return sheet


def _spread(count: int, wanted: int) -> list[int]:
    evenly = np.linspace(0, count - 1, min(wanted, count)).round().astype(np.int64)
    return [int(index) for index in evenly]
