"""Features of every step of a data set under a frozen encoder, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import platform
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import overload

import numpy as np
from tqdm import tqdm

from parrot_wrapper.data.dataset import EpisodeDataset, IntArray
from parrot_wrapper.data.streaming import ShardStream
from parrot_wrapper.errors import DataFileError, InvalidArgumentError
from parrot_wrapper.io.atomic_files import atomic_path, write_json
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.priors.arrays import rows_at_once
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.trainable import FEATURES_KEY
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.training.prior_batches import check_source
from parrot_wrapper.training.ranks import Ranks
from parrot_wrapper.types import AnyArray

FEATURE_TYPE = np.float16
"""Half the bytes of float32, and an error far below the noise that features are trained with."""
_AT_ONCE = 2_048
_BLOCK_BYTES = 2**20


class FeatureCache:
    """Data sets whose observation is what a frozen encoder made of the images.

    A file in the cache is named by the content of the data, the encoder and the number format, so
    that it can be shared by all runs and never goes stale. It is mapped into memory, not read; a
    sidecar with its SHA-256 makes it count.

    Args:
        folder: Where the files are; None to keep nothing.
        prior: Whose encoder it is.
        ranks: Processes that make them together; the first one keeps them. Those of a stream are
            in a file for each shard, which all processes have to see. None for this one alone.
    """

    def __init__(
        self, folder: Path | None, prior: EncoderPrior, ranks: Ranks | None = None
    ) -> None:
        self._folder, self._prior, self._ranks = folder, prior, ranks or Ranks()
        self._encoder = prior.encoder_digest
        self._width = prior.encoder.feature_dim  # without what a prior with memory remembers

    def find(self, dataset: EpisodeDataset) -> EpisodeDataset | None:
        """The data set with stored features in place of its observations, if there are any.

        Args:
            dataset: Needs no observations: `load_dataset(folder, actions_only=True)` will do.

        Raises:
            DataFileError: The file is damaged.
        """
        path = self._path(dataset)
        if path is None or not path.exists() or not _sidecar(path).exists():
            return None
        shape = (dataset.n_steps + dataset.n_episodes, self._width)
        expected = _read_checksum(_sidecar(path))
        try:
            with path.open("rb") as stream:
                found = _checksum(iter(lambda: stream.read(_BLOCK_BYTES), b""))
            if found != expected:
                raise ValueError(f"its SHA-256 is {found[:12]}..., expected {expected[:12]}...")
            features = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataFileError(f"{path}: damaged ({error}); delete it and try again.") from error
        if features.shape != shape or features.dtype != FEATURE_TYPE:
            raise DataFileError(
                f"{path}: expected features {shape} {np.dtype(FEATURE_TYPE)}, found "
                f"{features.shape} {features.dtype}; delete it and try again."
            )
        return _with_features(dataset, features)

    @overload
    def make(self, dataset: EpisodeDataset, *, progress: bool = True) -> EpisodeDataset: ...

    @overload
    def make(self, dataset: ShardStream, *, progress: bool = True) -> ShardStream: ...

    @own_surroundings()
    def make(
        self, dataset: EpisodeDataset | ShardStream, *, progress: bool = True
    ) -> EpisodeDataset | ShardStream:
        """Compute the features of all observations, keep them, and put them in their place.

        Of several processes that ask for the same features one computes them; the others wait.

        Args:
            dataset: In memory, or a stream.
            progress: Show a bar.

        Raises:
            DataError: The data lack what the prior looks at, or were made in another action box.
            InvalidArgumentError: There is no folder for those of a stream.
        """
        if isinstance(dataset, ShardStream):
            return self._stream(dataset, progress=progress)
        dataset = dataset.seen_by(self._prior)
        check_source(dataset, self._prior)
        path = self._path(dataset) if self._ranks.leads else None
        if path is None:
            computed = list(self._blocks(dataset, None, progress=progress))
            return _with_features(dataset, np.concatenate(computed))
        with folder_lock(path.parent, wait=True):
            found = self.find(dataset)  # another process may have made them by now
            blocks = self._blocks(dataset, found, progress=progress)
            if found is None:
                self._write(path, dataset, blocks)
            elif self._ranks.size > 1:
                deque(blocks, maxlen=0)  # the other processes get them
        found = found or self.find(dataset)
        assert found is not None
        return found

    def _stream(self, stream: ShardStream, *, progress: bool) -> ShardStream:
        """The same of each shard, in a file of its own."""
        if self._folder is None:
            raise InvalidArgumentError(
                "Expected a run_folder for the features of data that are larger than memory, got "
                "none. Give one, or sight_share=1 for an encoder that learns to the end."
            )
        check_source(stream.sample.seen_by(self._prior), self._prior)
        own = stream.numbers[self._ranks.rank :: self._ranks.size]
        for index in tqdm(own, unit="shard", desc="features", disable=not progress):
            if self.find(stream.read(index, actions_only=True)) is None:
                shard = stream.read(index).seen_by(self._prior)
                alone = FeatureCache(self._folder, self._prior)
                path = alone._path(shard)
                assert path is not None
                self._write(path, shard, alone._blocks(shard, None, progress=False))
        self._ranks.all_of(None)  # all have made theirs
        return stream.completed_by(self._found)

    def _found(self, actions: EpisodeDataset) -> EpisodeDataset:
        found = self.find(actions)
        if found is None:
            raise DataFileError(
                f"{platform.node()}: expected the features of each shard in {self._folder}, which "
                "all processes have to see, and which stays as it is while the prior is trained."
            )
        return found

    def _write(self, path: Path, dataset: EpisodeDataset, blocks: Iterator[AnyArray]) -> None:
        """Write the features in an ordinary way: a full disk kills those who write to a map."""
        shape = (dataset.n_steps + dataset.n_episodes, self._width)
        form = {"descr": np.dtype(FEATURE_TYPE).str, "fortran_order": False, "shape": shape}
        _sidecar(path).unlink(missing_ok=True)
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, form)
            for block in blocks:
                stream.write(block.tobytes())
            stream.flush()
            with partial.open("rb") as whole:
                found = _checksum(iter(lambda: whole.read(_BLOCK_BYTES), b""))
        write_json(_sidecar(path), {"sha256": found})

    def _blocks(
        self, dataset: EpisodeDataset, found: EpisodeDataset | None, *, progress: bool
    ) -> Iterator[AnyArray]:
        """All features in order, in each process; computed where the first has not `found` them."""
        ranks, spec = self._ranks, self._prior.observation_spec
        rows, most = dataset.observation_rows(lasts=True), rows_at_once(spec, _AT_ONCE)
        known = ranks.led(found is not None)
        with tqdm(total=len(rows), unit="step", desc="features", disable=not progress) as bar:
            for start in range(0, len(rows), most * ranks.size):
                if known:
                    stop = start + most * ranks.size
                    yield ranks.led(found and found.observations[FEATURES_KEY][start:stop])
                else:
                    first = start + most * ranks.rank
                    yield from ranks.all_of(self._computed(dataset, rows[first : first + most]))
                bar.update(min(most * ranks.size, len(rows) - start))

    def _computed(self, dataset: EpisodeDataset, rows: IntArray) -> AnyArray:
        if not len(rows):
            return np.empty((0, self._width), FEATURE_TYPE)
        seen = dataset.observed(list(self._prior.observation_spec.parts), rows)
        return self._prior.features(seen)[:, : self._width].astype(FEATURE_TYPE)

    def _path(self, dataset: EpisodeDataset) -> Path | None:
        if self._folder is None:
            return None
        parts = (dataset.content_hash, self._encoder, np.dtype(FEATURE_TYPE).name)
        key = hashlib.sha256("".join(parts).encode()).hexdigest()[:20]
        return self._folder / f"features-{key}.npy"


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_checksum(path: Path) -> str:
    try:
        content = parse_json(path.read_bytes())
        return str(content["sha256"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataFileError(f"{path}: damaged ({error}); delete it and try again.") from error


def _checksum(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _with_features(dataset: EpisodeDataset, features: AnyArray) -> EpisodeDataset:
    _ = dataset.content_hash  # makes the digests, so that the hash stays that of the images
    return EpisodeDataset(
        observations={FEATURES_KEY: features},
        labels={},
        actions=dataset.actions,
        rewards=dataset.rewards,
        success=dataset.success,
        seeds=dataset.seeds,
        lengths=dataset.lengths,
        metadata=dataset.metadata,
        digests=dataset.digests,
    )
