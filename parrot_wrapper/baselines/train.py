"""From a data set's folder to what a baseline needs for RL, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from parrot_wrapper.atomic_files import write_json
from parrot_wrapper.baselines.config import FittingConfig
from parrot_wrapper.baselines.feature_cache import FeatureCache
from parrot_wrapper.baselines.fitting import FittingReport
from parrot_wrapper.baselines.flow_head import fit_flow_head
from parrot_wrapper.baselines.hirl import fit_hirl
from parrot_wrapper.baselines.trajrl import fit_trajrl
from parrot_wrapper.baselines.vae_features import fit_vae_features
from parrot_wrapper.data import EpisodeDataset, load_dataset
from parrot_wrapper.errors import DataError
from parrot_wrapper.names import unknown_name
from parrot_wrapper.priors import (
    CVAEPrior,
    CVAEPriorConfig,
    EncoderPrior,
    FlowPrior,
    FlowPriorConfig,
    TrajectoryVAEPrior,
    TrajectoryVAEPriorConfig,
    VAEFeatures,
    VAEFeaturesConfig,
    load_prior,
)
from parrot_wrapper.priors.loading import RUN_SUBFOLDER
from parrot_wrapper.priors.surroundings import own_surroundings
from parrot_wrapper.torch_threads import torch_threads
from parrot_wrapper.training.data_facts import data_facts, warn_of_unread
from parrot_wrapper.training.fitting_run import training_device

REPORT_FILE, SETTINGS_FILE = "report.json", "train-baseline-config.json"


@dataclass(frozen=True)
class BaselineJob:
    """What is to be made.

    Attributes:
        method: A key of `METHODS`.
        data: Folder of a data set.
        out: Folder of the run. What comes out of it goes into its subfolder "prior", or "actor"
            for "bc"; `load_prior` and `load_cloned_actor` open the run's folder as well.
        config: Settings of the fit.
        sizes: Keywords of the config of the method's network: `CVAEPriorConfig`,
            `TrajectoryVAEPriorConfig`, `VAEFeaturesConfig` or `ClonedActorConfig`.
        encoder: Prior (name or folder) whose frozen encoder is shared, or None to learn from
            pixels: "hirl" and "bc" jointly; "trajrl", which looks at nothing, then carries an
            untrained one. "vae-features" always learns its own.
        episodes: Use only the first so many; 0 for all.
        cache: Folder of features that are computed already; None to keep none.
    """

    method: str
    data: Path
    out: Path
    config: FittingConfig
    sizes: Mapping[str, Any] = field(default_factory=dict)
    encoder: str | None = "parrot-v0"
    episodes: int = 0
    cache: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        cache = None if self.cache is None else str(self.cache)
        return {**asdict(self), "data": str(self.data), "out": str(self.out), "cache": cache}

    def load(self, *, actions_only: bool = False) -> EpisodeDataset:
        """Read the data."""
        episodes = self.episodes or None
        return load_dataset(self.data, n_episodes=episodes, actions_only=actions_only)

    def warn_of_unread(self, shared: EncoderPrior) -> None:
        """Say what the shared encoder does not look at, where observations were not loaded."""
        warn_of_unread(load_dataset(self.data, n_episodes=1), shared.observation_spec)

    def shared(self) -> EncoderPrior | None:
        """The prior whose encoder is shared."""
        if self.encoder is None:
            return None
        return load_prior(self.encoder, device=training_device(self.config.device))


@own_surroundings()
def train_baseline(job: BaselineJob, *, progress: bool = True) -> FittingReport:
    """Fit a baseline's network and save it; the same call goes on after a kill.

    Raises:
        UnknownNameError: No such method or prior.
        DataError: The data are not what the method or the encoder needs.
        DataFileError: The data's folder cannot be trusted.
        CheckpointError: The run's folder holds another run, or a file there is damaged.
    """
    if job.method not in METHODS:
        raise unknown_name("baseline", job.method, METHODS)
    with torch_threads(job.config.threads):  # features are computed under them too
        return METHODS[job.method](job, progress)


def _hirl(job: BaselineJob, progress: bool) -> FittingReport:
    shared = job.shared()
    dataset = _seen(job, shared, progress)
    config = CVAEPriorConfig(**{**_sight(dataset, shared), **job.sizes})
    prior = _carrying(CVAEPrior(config, seed=job.config.seed), shared)
    report = fit_hirl(prior, dataset, job.config, run_folder=job.out, progress=progress)
    return _finish(job, dataset, report, shared, prior)


def _flow(job: BaselineJob, progress: bool) -> FittingReport:
    shared = job.shared()
    if shared is None:
        raise DataError(
            "Expected an encoder to share; a flow from pixels is what train-prior fits."
        )
    dataset = _seen(job, shared, progress)
    config = FlowPriorConfig(**{**_sight(dataset, shared), **job.sizes})
    prior = _carrying(FlowPrior(config, seed=job.config.seed), shared)
    report = fit_flow_head(prior, dataset, job.config, run_folder=job.out, progress=progress)
    return _finish(job, dataset, report, shared, prior)


def _trajrl(job: BaselineJob, progress: bool) -> FittingReport:
    shared = job.shared()
    dataset = job.load(actions_only=shared is not None)
    if shared is not None:
        job.warn_of_unread(shared)
    sizes = {"horizon": int(dataset.lengths.max()), **job.sizes}
    config = TrajectoryVAEPriorConfig(**{**_sight(dataset, shared), **sizes})
    prior = _carrying(TrajectoryVAEPrior(config, seed=job.config.seed), shared)
    report = fit_trajrl(prior, dataset, job.config, run_folder=job.out, progress=progress)
    return _finish(job, dataset, report, shared, prior)


def _vae_features(job: BaselineJob, progress: bool) -> FittingReport:
    dataset = job.load()
    sight = {**_sight(dataset, None), "encoder": VAEFeaturesConfig.encoder}
    config = VAEFeaturesConfig(**{**sight, **job.sizes})
    prior = VAEFeatures(config, seed=job.config.seed)
    report = fit_vae_features(prior, dataset, job.config, run_folder=job.out, progress=progress)
    return _finish(job, dataset, report, None, prior)


def _bc(job: BaselineJob, progress: bool) -> FittingReport:
    # only here: the one baseline whose training needs SB3
    from parrot_wrapper.baselines.cloning import fit_cloned_actor
    from parrot_wrapper.training.cloned_actor import RUN_SUBFOLDER as ACTOR
    from parrot_wrapper.training.cloned_actor import ClonedActor, ClonedActorConfig

    shared = job.shared()
    dataset = _seen(job, shared, progress)
    if shared is None and dataset.observation_spec.image is None:
        raise DataError(f"{job.data}: expected images to clone from without an encoder, got none.")
    low, high = (tuple(edge.tolist()) for edge in dataset.action_bounds)
    seen: dict[str, Any] = (
        {"image": dataset.observation_spec.image}
        if shared is None
        else {"features_dim": shared.feature_dim, "encoder_sha256": shared.encoder_digest}
    )
    config = ClonedActorConfig(low, high, **{**seen, **job.sizes})
    cloned = ClonedActor(config, seed=job.config.seed)
    report = fit_cloned_actor(
        cloned,
        dataset,
        job.config,
        encoder=None if shared is None else shared.encoder,
        run_folder=job.out,
        progress=progress,
    )
    return _finish(job, dataset, report, shared, cloned, subfolder=ACTOR)


METHODS: dict[str, Callable[[BaselineJob, bool], FittingReport]] = {
    "flow": _flow,
    "hirl": _hirl,
    "trajrl": _trajrl,
    "bc": _bc,
    "vae-features": _vae_features,
}
"""What trains each baseline that is trained before RL."""


class _Artifact(Protocol):
    def set_metadata(self, metadata: Mapping[str, Any]) -> None: ...

    def save(self, folder: str | Path) -> None: ...


def _seen(job: BaselineJob, shared: EncoderPrior | None, progress: bool) -> EpisodeDataset:
    """The data as a head sees them: with the features of a shared encoder, where there is one."""
    if shared is None:
        return job.load()
    cache = FeatureCache(job.cache, shared)
    # images are most of the bytes, and are not needed where the features are stored
    found = None if job.cache is None else cache.find(job.load(actions_only=True))
    if found is None:
        return cache.make(job.load(), progress=progress)
    job.warn_of_unread(shared)
    return found


def _sight(dataset: EpisodeDataset, shared: EncoderPrior | None) -> dict[str, Any]:
    """What the configs of all kinds of prior share."""
    low, high = (tuple(edge.tolist()) for edge in dataset.action_bounds)
    box = {"action_dim": dataset.action_dim, "action_low": low, "action_high": high}
    if shared is None:
        spec = dataset.observation_spec
        encoder = "state" if spec.image is None else "convolutional"  # the paper's
        return {**box, "observation": spec, "encoder": encoder}
    return {
        **box,
        "observation": shared.config.observation,
        "encoder": shared.config.encoder,
        "encoder_options": shared.config.encoder_options,
    }


def _carrying(prior: EncoderPrior, shared: EncoderPrior | None) -> Any:
    if shared is not None:
        prior.encoder.load_state_dict(shared.encoder.state_dict())
    return prior


def _finish(
    job: BaselineJob,
    dataset: EpisodeDataset,
    report: FittingReport,
    shared: EncoderPrior | None,
    artifact: _Artifact,
    *,
    subfolder: str = RUN_SUBFOLDER,
) -> FittingReport:
    """Write what came out of it, and how."""
    metrics = {**report.to_dict(), "validation": dict(report.validation)}
    del metrics["history"]
    encoder = {"from": job.encoder, "sha256": shared.encoder_digest} if shared else None
    facts = {
        "method": job.method,
        **data_facts(dataset),
        "encoder": encoder,
        "metrics": metrics,
        "training": job.config.to_dict(),
    }
    write_json(job.out / SETTINGS_FILE, job.to_dict())
    write_json(job.out / REPORT_FILE, report.to_dict())
    artifact.set_metadata(facts)
    artifact.save(job.out / subfolder)
    return report
