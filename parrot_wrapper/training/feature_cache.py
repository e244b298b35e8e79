"""Features of every step of a data set under a frozen encoder, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.io.atomic_files import atomic_path, write_json
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.io.strict_json import parse_json
from parrot_wrapper.priors.arrays import rows_at_once
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.trainable import FEATURES_KEY
from parrot_wrapper.surroundings import own_surroundings
from parrot_wrapper.training.prior_batches import check_source
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
    """

    def __init__(self, folder: Path | None, prior: EncoderPrior) -> None:
        self._folder, self._prior = folder, prior
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

    @own_surroundings()
    def make(self, dataset: EpisodeDataset, *, progress: bool = True) -> EpisodeDataset:
        """Compute the features of all observations, keep them, and put them in their place.

        Of several processes that ask for the same features one computes them; the others wait.

        Raises:
            DataError: The data lack what the prior looks at, or were made in another action box.
        """
        dataset = dataset.seen_by(self._prior)
        check_source(dataset, self._prior)
        path = self._path(dataset)
        shape = (dataset.n_steps + dataset.n_episodes, self._width)
        if path is None:
            features = np.concatenate(list(self._batches(dataset, progress=progress)))
            return _with_features(dataset, features)
        with folder_lock(path.parent, wait=True):
            if not (path.exists() and _sidecar(path).exists()):  # nobody has made them by now
                self._write(path, shape, dataset, progress=progress)
        found = self.find(dataset)
        assert found is not None
        return found

    def _write(
        self, path: Path, shape: tuple[int, int], dataset: EpisodeDataset, *, progress: bool
    ) -> None:
        """Write the features in an ordinary way: a full disk kills those who write to a map."""
        form = {"descr": np.dtype(FEATURE_TYPE).str, "fortran_order": False, "shape": shape}
        _sidecar(path).unlink(missing_ok=True)
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, form)
            for batch in self._batches(dataset, progress=progress):
                stream.write(batch.tobytes())
            stream.flush()
            with partial.open("rb") as whole:
                found = _checksum(iter(lambda: whole.read(_BLOCK_BYTES), b""))
        write_json(_sidecar(path), {"sha256": found})

    def _batches(self, dataset: EpisodeDataset, *, progress: bool) -> Iterator[AnyArray]:
        spec, rows = self._prior.observation_spec, dataset.observation_rows(lasts=True)
        wanted, most = list(spec.parts), rows_at_once(spec, _AT_ONCE)
        with tqdm(total=len(rows), unit="step", desc="features", disable=not progress) as bar:
            for start in range(0, len(rows), most):
                chosen = rows[start : start + most]
                seen = dataset.observed(wanted, chosen)
                yield self._prior.features(seen)[:, : self._width].astype(FEATURE_TYPE)
                bar.update(len(chosen))

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
