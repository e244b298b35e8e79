"""Train any kind of prior: validated, stoppable, resumable bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from parrot_wrapper.checks import as_path, require_instance
from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.data.streaming import ShardStream
from parrot_wrapper.errors import NotOfferedError
from parrot_wrapper.io.atomic_files import clear_strays, room_below
from parrot_wrapper.io.locking import folder_lock
from parrot_wrapper.io.tracking import tracked
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.loading import existing_device
from parrot_wrapper.priors.trainable import FEATURES_KEY, Trainable, sight_facts
from parrot_wrapper.surroundings import own_surroundings, torch_threads
from parrot_wrapper.training.feature_cache import FeatureCache
from parrot_wrapper.training.prior_batches import warn_of_gaps, warn_of_unread
from parrot_wrapper.training.prior_config import PriorTrainingConfig, training_config
from parrot_wrapper.training.prior_data import Data, TrainingData, in_memory
from parrot_wrapper.training.prior_run import PriorRun, Progress, has_checkpoint, weights_digest
from parrot_wrapper.training.prior_trainer import PriorTrainer
from parrot_wrapper.training.ranks import joined, own_device, ranks
from parrot_wrapper.types import IMPORTED_KEYS_FACT, KEYS_FACT, PIXELS_FACT

SIGHT_SUBFOLDER = "sight"
"""Of a run's folder: the checkpoint of the steps in which the encoder learns, and its features."""
_TOLD = ("env_id", "env_kwargs", "camera", "noise", "stray_steps", "base_seed")
_NOT_SEEN = ("actions", "rewards", "success")
"""What else an import takes."""
_PATIENCE_SECONDS = 10.0
"""For the process of a killed run to be gone."""


@dataclass(frozen=True)
class PriorReport:
    """What came out of `fit_prior`.

    Attributes:
        prior: The prior that was fitted.
        steps: Gradient steps made, over all resumed parts.
        best_step: The step whose weights were kept.
        validation: Losses on held-out episodes at that step, by name.
        training: Mean losses over the training batches before the last validation, by name.
        seconds: Time in training, over all resumed parts.
        stopped: Why it ended: "steps", "patience" or "time".
        history: One row for each validation: "step", "seconds", "learning_rate", "training" and
            "validation" (losses by name).
    """

    prior: Trainable = field(repr=False, compare=False)
    steps: int
    best_step: int
    validation: Mapping[str, float]
    training: Mapping[str, float]
    seconds: float
    stopped: str
    history: tuple[Mapping[str, Any], ...] = field(repr=False)

    def __str__(self) -> str:
        """The losses on held-out episodes, and how long it took."""
        told = ", ".join(f"{name} {value:.4g}" for name, value in self.validation.items())
        if "nll" in self.validation:
            told = (
                f"{self.validation_nll:.3f} nats ({self.validation_nll_per_dim:.3f} per dimension)"
            )
        return (
            f"validation {told} at step {self.best_step}; {self.steps} steps in "
            f"{self.seconds:.0f} s, stopped by {self.stopped}"
        )

    @property
    def validation_nll(self) -> float:
        """Negative log-likelihood of held-out episodes at the best step, nats.

        Raises:
            NotOfferedError: The kind of prior is not trained by likelihood.
        """
        return self._nll(self.validation)

    @property
    def validation_nll_per_dim(self) -> float:
        """The same per action dimension."""
        return self.validation_nll / self.prior.action_dim

    @property
    def training_nll(self) -> float:
        """Its mean over the training batches before the last validation, nats."""
        return self._nll(self.training)

    def _nll(self, losses: Mapping[str, float]) -> float:
        if "nll" not in losses:
            raise NotOfferedError(
                f"Expected a likelihood, got the losses {', '.join(losses)}; see `validation`."
            )
        return losses["nll"]

    def to_dict(self) -> dict[str, Any]:
        """All fields but the prior, and the likelihood where there is one, JSON-able."""
        names = [entry.name for entry in fields(self) if entry.name != "prior"]
        if "nll" in self.validation:
            names += ["validation_nll", "validation_nll_per_dim", "training_nll"]
        return {**{name: getattr(self, name) for name in names}, "history": list(self.history)}

    @property
    def metrics(self) -> dict[str, Any]:
        """All but the prior and the history, JSON-able: what the prior's metadata keep."""
        return {name: value for name, value in self.to_dict().items() if name != "history"}


@own_surroundings()
def fit_prior(
    prior: Trainable | Data | None = None,
    dataset: Data | None = None,
    config: PriorTrainingConfig | None = None,
    *,
    run_folder: str | Path | None = None,
    fine_tune: bool = False,
    progress: bool = True,
) -> PriorReport:
    """Minimise a prior's own losses on the data.

    `fit_prior(data).prior` is all that is needed to get a flow prior from a data set. A prior that
    is handed over is fitted in place.


    Kept are the averaged weights that are best on held-out episodes by the prior's `criterion`.
    With a `run_folder` the run is checkpointed there and continues from its last checkpoint, with
    the same result, bit for bit (in float32 on one CPU thread), as an unbroken run.

    Processes that `torchrun` has started train together: each takes its rows of every batch, and
    rank 0 writes. The result is that of one process with the whole batch, up to rounding and the
    noise that losses draw.

    Args:
        prior: Any kind of prior, or nothing, or the data set alone, for a new flow of
            `flow_config(dataset)` with the seed of `config`. Its statistics are set from the data,
            unless `fine_tune`. Afterwards it is frozen and in eval mode, and its metadata tell how
            the data were made, the settings and what came out.
        dataset: Successful episodes, two or more; from a `FeatureCache` for a prior that learns on
            the frozen features of another. A `ShardStream` for more than there is memory for.
        config: Settings; None for those of the prior's kind.
        run_folder: For checkpoints and tensorboard; None for neither.
        fine_tune: Go on from what `prior` has learned before. A resumed call needs that prior.
        progress: Show a progress bar.

    Raises:
        DataError: The data do not fit the prior, are too few to hold any out, never change, or
            make it diverge.
        CheckpointError: The run folder's checkpoint is damaged or of other settings or data.
        DataFileError: Another process is at work in the run folder.
        WriteError: The disk is full, or the folder cannot be written to; with room, the same call
            goes on from the last checkpoint.
        InvalidArgumentError: An argument is of another type.
        NotOfferedError: The kind of prior has no losses.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first.

    Warns:
        UntaughtWarning: The data lack what teaches the encoder where things are.
        UnreadDataWarning: The data have observations at which the prior does not look.

    Example:
        >>> import numpy as np
        >>> from parrot_wrapper.priors import TrajectoryVAEPrior
        >>> data = EpisodeDataset.from_arrays(np.eye(8), np.full((6, 2), 0.1) * np.eye(6)[:, :2],
        ...                                   lengths=[3, 3])
        >>> config = PriorTrainingConfig(steps=2, batch_size=2, warmup_steps=1)
        >>> fit_prior(data, config=config, progress=False).steps
        2
        >>> prior = TrajectoryVAEPrior.for_data(data)
        >>> list(fit_prior(prior, data, config, progress=False).validation)
        ['reconstruction', 'kl']
    """
    require_instance("config", config, (PriorTrainingConfig, NoneType), "a PriorTrainingConfig")
    if dataset is None and isinstance(prior, EpisodeDataset | ShardStream):
        prior, dataset = None, prior
    kinds = (EpisodeDataset, ShardStream)
    require_instance("dataset", dataset, kinds, "an EpisodeDataset or a ShardStream")
    assert dataset is not None
    frozen = FEATURES_KEY in in_memory(dataset).observations
    if prior is None and not fine_tune:
        settings = training_config(FlowPrior) if config is None else config
        prior = FlowPrior.for_data(in_memory(dataset), seed=settings.seed)
    require_instance("prior", prior, Trainable, "a prior such as a FlowPrior")
    assert isinstance(prior, Trainable)
    settings = training_config(type(prior), frozen=frozen) if config is None else config
    folder = None if run_folder is None else as_path("run_folder", run_folder)
    before = dict(prior.metadata)
    together = joined(training_device(settings.device))
    in_parts = isinstance(prior, EncoderPrior) and not frozen and _in_parts(prior, settings)
    together.require_shares(settings.batch_size, in_parts=in_parts)
    kept = together.led(folder)
    if not together.leads:
        folder, progress = None, False
    dataset = dataset if frozen else dataset.seen_by(prior)
    # the statistics are computed under the threads too
    told = {"kind": prior.type_tag, **asdict(settings)}
    with run_folder_held(folder), tracked(folder, told), torch_threads(settings.threads):
        begun: Progress | None = None
        if in_parts:
            assert isinstance(prior, EncoderPrior)
            first, last = settings.parts()
            own = None if folder is None else folder / SIGHT_SUBFOLDER
            begun = _run(prior, dataset, first, own, fine_tune=fine_tune, progress=progress)
            cache = FeatureCache(None if kept is None else kept / SIGHT_SUBFOLDER, prior, together)
            done = _run(prior, dataset, last, folder, cache, fine_tune=True, progress=progress)
        else:
            done = _run(prior, dataset, settings, folder, fine_tune=fine_tune, progress=progress)
    report = _report(done, prior, begun)
    taught = {"taught": lessons} if (lessons := prior.lessons(in_memory(dataset))) else {}
    facts = {
        **data_facts(dataset),
        **taught,
        "metrics": report.metrics,
        "training": settings.to_dict(),
        **sight_facts(prior),
    }
    prior.set_metadata({**facts, "initial": before} if fine_tune else {**before, **facts})
    return report


def _in_parts(prior: EncoderPrior, config: PriorTrainingConfig) -> bool:
    """Whether an encoder of images learns first, and then the rest on its features."""
    seen = prior.observation_spec.images if prior.looks else {}
    return bool(seen) and prior.shares_encoder and config.sight_share < 1


def _run(
    prior: Trainable,
    dataset: Data,
    config: PriorTrainingConfig,
    folder: Path | None,
    cache: FeatureCache | None = None,
    *,
    fine_tune: bool,
    progress: bool,
) -> Progress:
    """One run to its end; on features of the data where there is a cache for these."""
    with closing(TrainingData(dataset, prior, config, cache, progress=progress)) as data:
        learned = cache is not None or FEATURES_KEY in in_memory(dataset).observations
        kinds = {"fine_tune": fine_tune, "learned": learned}
        run = _prior_run(prior, dataset, data, config, folder, **kinds)
        if prior.looks and not (learned or run.progress.stopped) and ranks().leads:
            warn_of_unread(in_memory(dataset), prior.observation_spec)
            warn_of_gaps(in_memory(dataset), prior)
        run.run(progress=progress)
    return run.progress


def _prior_run(
    prior: Trainable,
    dataset: Data,
    data: TrainingData,
    config: PriorTrainingConfig,
    folder: Path | None,
    *,
    fine_tune: bool,
    learned: bool,
) -> PriorRun:
    device = training_device(config.device)
    prior.to(device)
    together = joined(device)
    settings = {
        "kind": prior.type_tag,
        "prior": prior.config.to_dict(),
        "training": config.to_dict(),
        "data": {"sha256": dataset.content_hash},
        # of weights that are not from seed and data alone
        "initial": weights_digest(prior) if fine_tune or learned else None,
        **({"window": dataset.window} if isinstance(dataset, ShardStream) else {}),
        **sight_facts(prior),
    }
    if together.led(not has_checkpoint(folder)) and not fine_tune:
        prior.prepare(data.statistics(device))
    trainer = PriorTrainer(prior, config, device, together)
    return PriorRun(trainer, config, data=data, folder=folder, settings=settings)


def _report(last: Progress, prior: Trainable, first: Progress | None) -> PriorReport:
    """Of one run, or of the one in which the encoder learned and the one on its features."""
    assert last.stopped is not None
    best = [
        next(row["validation"] for row in part.history if row["step"] == part.best_step)
        for part in (first, last)
        if part
    ]
    steps, seconds = (first.step, first.history[-1]["seconds"]) if first else (0, 0.0)
    later = [
        {**row, "step": row["step"] + steps, "seconds": row["seconds"] + seconds}
        for row in last.history
    ]
    return PriorReport(
        prior=prior,
        steps=later[-1]["step"],
        best_step=steps + last.best_step,
        validation={**best[0], **best[-1]},  # the encoder's own losses are of the first part
        training=last.history[-1]["training"],
        seconds=later[-1]["seconds"],
        stopped=last.stopped,
        history=(*(first.history if first else ()), *later),
    )


def data_facts(dataset: Data) -> dict[str, Any]:
    """How the data were made, as far as they tell, and their hash and size; JSON-able."""
    made: Mapping[str, Any] = dataset.metadata.get("settings", {})
    return {
        **{key: made[key] for key in _TOLD if made.get(key) is not None},
        **keys_fact(dataset),
        "data": {
            "sha256": dataset.content_hash,
            "episodes": dataset.n_episodes,
            "steps": dataset.n_steps,
        },
    }


def keys_fact(dataset: Data) -> dict[str, Any]:
    """Which keys of the env's observations the data are made of, where they tell."""
    told = {fact: dataset.metadata.get(fact) for fact in (KEYS_FACT, PIXELS_FACT)}
    imported = dataset.metadata.get("import")
    if isinstance(imported, Mapping):
        taken = imported.get("taken", {}).items()
        told[IMPORTED_KEYS_FACT] = {k: keys for k, keys in taken if keys and k not in _NOT_SEEN}
    return {fact: keys for fact, keys in told.items() if keys}


@contextmanager
def run_folder_held(folder: Path | None) -> Iterator[None]:
    """Hold a run's folder, if it has one, and clear it of what killed writers left."""
    if folder is None:
        yield
        return
    with room_below(folder), folder_lock(folder, patience=_PATIENCE_SECONDS):
        clear_strays(folder)
        yield


def training_device(name: str) -> torch.device:
    """The device of this name, for "auto" a GPU where there is one; for `torchrun` each its own."""
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    return own_device(existing_device(usual if name == "auto" else name))
