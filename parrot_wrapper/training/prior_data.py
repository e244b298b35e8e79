"""What a prior is trained on: labelled, split and drawn from, as soon as it is needed."""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.streaming import ShardStream, Windows
from parrot_wrapper.priors.arrays import rows_at_once
from parrot_wrapper.priors.trainable import Trainable
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior_batches import (
    MakeBatch,
    batch_maker,
    check_source,
    long_enough,
    require_change,
    step_generator,
)
from parrot_wrapper.training.prior_config import PriorTrainingConfig

Data: TypeAlias = EpisodeDataset | ShardStream
SPLIT, STATISTICS, VALIDATION, TRAINING, PERTURBATION = range(5)
"""Streams of random numbers; each is seeded apart."""
_STATISTICS_SIZE = 4096


def in_memory(data: Data) -> EpisodeDataset:
    """The data, or of a stream its sample."""
    return data.sample if isinstance(data, ShardStream) else data


class TrainingData:
    """Batches of one run; a run that is over needs none, and nothing is computed for it.

    Args:
        data: What was recorded.
        prior: Says what it reads, and what it is taught with.
        config: Settings.
        cache: Makes features of the data first; None where the prior looks at these themselves.
        progress: Show a bar while it does.
    """

    def __init__(
        self,
        data: Data,
        prior: Trainable,
        config: PriorTrainingConfig,
        cache: FeatureCache | None = None,
        *,
        progress: bool = True,
    ) -> None:
        self._recorded, self._prior, self._config = data, prior, config
        self._cache, self._progress = cache, progress

    @cached_property
    def _data(self) -> Data:
        """As the prior reads it."""
        if self._cache is None:
            return self._recorded
        return self._cache.make(self._recorded, progress=self._progress)

    @cached_property
    def _parts(self) -> tuple[EpisodeDataset | Windows, list[dict[str, Tensor]]]:
        """What is drawn from, and batches that are held out."""
        config, prior, data = self._config, self._prior, self._data
        check_source(in_memory(data), prior)
        require_change(in_memory(data), prior)
        rng = step_generator(config.seed, SPLIT)
        training: EpisodeDataset | Windows
        if isinstance(data, ShardStream):
            rest, held_out = data.mapped(self._taught).split(config.validation_fraction, rng)
            steps = prior.window if prior.batches == "sequences" else prior.horizon
            rows = config.batch_size * (1 if prior.batches == "pairs" else steps)
            training = rest.windows(config.seed, rows)
        else:
            labelled = long_enough(self._labelled(data), prior)
            training, held_out = labelled.split(config.validation_fraction, rng)
        make = self._maker(long_enough(held_out, prior, least=1), config.batch_size)
        batches = [
            make(step_generator(config.seed, VALIDATION, index))
            for index in range(config.validation_batches)
        ]
        return training, batches

    def _labelled(self, part: EpisodeDataset) -> EpisodeDataset:
        return part.with_labels(self._prior.labels(part))

    def _taught(self, shard: EpisodeDataset) -> EpisodeDataset:
        return long_enough(self._labelled(shard), self._prior, least=0)

    def _maker(self, part: EpisodeDataset | Windows, rows: int) -> MakeBatch:
        return batch_maker(part, self._prior, batch_size=rows, edge_spread=self._config.edge_spread)

    def held_out(self) -> list[dict[str, Tensor]]:
        """The batches of every validation."""
        return self._parts[1]

    def maker(self) -> MakeBatch:
        """What makes training batches; called from threads."""
        return self._maker(self._parts[0], self._config.batch_size)

    def statistics(self, device: torch.device) -> dict[str, Tensor]:
        """A batch from which statistics are taken before the first step."""
        prior = self._prior
        rows = rows_at_once(in_memory(self._data).observation_spec, _STATISTICS_SIZE)
        if prior.batches == "sequences":
            rows = max(2, rows // prior.window // 2 * 2)
        sample = self._maker(self._parts[0], rows)(step_generator(self._config.seed, STATISTICS))
        return {key: value.to(device) for key, value in sample.items()}

    def close(self) -> None:
        """Read nothing more, where reading ahead has begun."""
        if "_parts" in vars(self) and isinstance(self._parts[0], Windows):
            self._parts[0].close()
