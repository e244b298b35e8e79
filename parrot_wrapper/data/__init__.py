"""Episodes of demonstrations: in memory, on disk, and drawn in batches."""

from parrot_wrapper.data.dataset import ActionStatistics, EpisodeDataset, contact_sheet
from parrot_wrapper.data.episodes import Episode
from parrot_wrapper.data.storage import load_dataset, save_dataset
from parrot_wrapper.data.streaming import ShardStream

__all__ = [
    "ActionStatistics",
    "Episode",
    "EpisodeDataset",
    "ShardStream",
    "contact_sheet",
    "load_dataset",
    "save_dataset",
]
