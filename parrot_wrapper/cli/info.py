"""`parrot info`: what is installed, or what a folder holds."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from parrot_wrapper import __version__
from parrot_wrapper.cli.environments import register_packages
from parrot_wrapper.errors import DataFileError
from parrot_wrapper.registry import installed_versions

_LIBRARIES = ("gymnasium", "numpy", "torch", "stable-baselines3", "pybullet", "h5py")


@dataclass(frozen=True)
class InfoCommand:
    """Show versions, env ids and packaged priors, or what is in a folder.

    Attributes:
        folder: Of a data set, a prior (or its packaged name) or an agent; nothing for the overview.
    """

    folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER]")] = None

    def run(self) -> None:
        """Print it."""
        print("\n".join(_overview() if self.folder is None else _card(self.folder)))


def _overview() -> Iterable[str]:
    yield f"parrot-wrapper {__version__}, Python {platform.python_version()}"
    installed = installed_versions(_LIBRARIES)
    for name in _LIBRARIES:
        yield f"  {name:<18} {installed.get(name, 'not installed')}"
    yield "environments:"
    yield from (f"  {env_id}" for env_id in register_packages() or ["(none registered)"])
    from parrot_wrapper.priors.loading import packaged_names

    yield "packaged priors:"
    yield from (f"  {name}" for name in packaged_names() or ["(none)"])


def _card(name: str) -> Iterable[str]:
    folder = Path(name)
    if (folder / "dataset.json").exists():
        return _dataset_card(folder)
    if (folder / "config.json").exists():
        return _agent_card(folder)
    places = (folder, folder / "prior")  # a prior, or the run that made it
    if folder.is_dir() and not any((place / "prior.json").exists() for place in places):
        raise DataFileError(
            f"{folder}: expected a folder with dataset.json or prior.json, or an agent's with "
            "config.json, found none of them."
        )
    return _prior_card(name)


def _agent_card(folder: Path) -> Iterable[str]:
    from parrot_wrapper.rl.evaluation import steps_of_run
    from parrot_wrapper.rl.train import read_config

    config = read_config(folder)
    yield f"agent {folder}"
    yield f"  {steps_of_run(folder)} of {config.total_steps} env steps to its last checkpoint"
    yield from _lines(config.to_dict())


def _dataset_card(folder: Path) -> Iterable[str]:
    from parrot_wrapper.data.storage import read_manifest, whole_shards

    manifest = read_manifest(folder)
    shards = whole_shards(folder, manifest.n_episodes)
    kept = sum(shard.n_episodes for shard in shards)
    attempts = sum(shard.attempts for shard in shards)
    yield f"data set {folder}"
    yield f"  episodes: {min(kept, manifest.n_episodes)} of {manifest.n_episodes}"
    yield f"  shards: {len(shards)}, {attempts} attempts, {kept} kept"
    yield from _lines(manifest.settings)
    yield from _lines(manifest.facts)


def _prior_card(name: str) -> Iterable[str]:
    from parrot_wrapper.latent import kl_is_bound
    from parrot_wrapper.priors import load_prior

    prior = load_prior(name)
    yield f"prior {name}"
    yield f"  latent dim {prior.latent_dim}, action dim {prior.action_dim}, horizon {prior.horizon}"
    exact = "upper bounds" if kl_is_bound(prior) else "exact"
    yield f"  accounts of the KL to it: {exact}"
    yield f"  features: {prior.feature_dim}"
    yield f"  observation: {prior.observation_spec}"
    yield from _lines(dict(prior.metadata))


def _lines(facts: Any) -> Iterable[str]:
    for key, value in facts.items():
        yield f"  {key}: {value if isinstance(value, str) else json.dumps(value)}"
