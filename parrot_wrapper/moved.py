"""Where names are found: when they are first used, and under old names with a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = __name__.rpartition(".")[0]
MOVED = {
    "action_chunking": "wrappers.action_chunking",
    "argument_checks": "checks",
    "atomic_files": "io.atomic_files",
    "broad_mixture": "priors.mixtures.broad",
    "charts": "latent.charts",
    "chunk": "wrappers.chunk",
    "collect": "record.collect",
    "data.exchange.formats": "data.exchange",
    "data.exchange.minari_export": "data.exchange.minari",
    "data.exchange.minari_import": "data.exchange.minari",
    "data.exchange.options": "data.exchange.choosing",
    "data.sight": "data.episodes",
    "data.statistics": "data.dataset",
    "evaluation.prior_features": "evaluation.policies",
    "evaluation.probe": "evaluation.regression",
    "evaluation.rates": "evaluation.rollouts",
    "evaluation.reachability": "evaluation.cloning",
    "evaluation.simulator_state": "evaluation.recordings",
    "experiments.films": "experiments.page",
    "experiments.gallery": "experiments.figures",
    "experiments.markdown": "experiments.page",
    "experiments.mismatch": "experiments.study",
    "experiments.needs": "experiments.artifacts",
    "experiments.run_files": "experiments.plan",
    "experiments.runs": "experiments.methods",
    "experiments.spent": "experiments.judged_priors",
    "experiments.summary": "experiments.tables",
    "expert_episodes": "record.expert_episodes",
    "float_errors": "surroundings",
    "locking": "io.locking",
    "names": "errors",
    "observation_reader": "wrappers.reader",
    "policy_episodes": "record.policy_episodes",
    "prior_mixture": "priors.mixtures.mixture",
    "priors.encoders.folded_structured": "parrot_table.folded_structured",
    "priors.encoders.structured": "parrot_table.structured",
    "priors.mixtures.redirected": "parrot_table.redirected",
    "priors.surroundings": "surroundings",
    "record.shard_plan": "record.collect",
    "record.success": "types",
    "redirected_mixture": "parrot_table.redirected",
    "rl.paper_convolutions": "rl.model",
    "rl.replay.demonstration_replay": "rl.replay.buffers",
    "rl.replay.rewarded_replay": "rl.replay.buffers",
    "shard_plan": "record.collect",
    "spaces": "wrappers.spaces",
    "stateful_observations": "wrappers.stateful_observations",
    "strict_json": "io.strict_json",
    "success": "types",
    "torch_threads": "surroundings",
    "training.actor_loss": "rl.model",
    "training.callbacks": "rl.callbacks",
    "training.cloned_actor": "rl.cloned_actor",
    "training.data_facts": "training.prior",
    "training.demonstration_replay": "rl.replay.buffers",
    "training.demonstration_view": "rl.replay.demonstrations",
    "training.episode_log": "rl.logs",
    "training.flow_config": "priors.flow",
    "training.interruption": "io.interruption",
    "training.normed_activation": "rl.normed_activation",
    "training.paper_convolutions": "rl.model",
    "training.prior_explore": "rl.prior_explore",
    "training.replay_arrays": "rl.replay.buffers",
    "training.replay_checks": "rl.replay.buffers",
    "training.replay_demonstrations": "rl.replay.demonstrations",
    "training.replay_episodes": "rl.replay.episodes",
    "training.rewarded_replay": "rl.replay.buffers",
    "training.rl": "rl.train",
    "training.rl_checkpoint": "rl.checkpoint",
    "training.rl_config": "rl.config",
    "training.rl_envs": "rl.model",
    "training.rl_evaluation": "rl.evaluation",
    "training.rl_model": "rl.model",
    "training.run_log": "rl.logs",
    "training.warm_up": "rl.callbacks",
    "translator": "wrappers.driver",
    "vec_wrapper": "wrappers.vec_wrapper",
    "vector_wrapper": "wrappers.vector_wrapper",
    "wrapper": "wrappers.wrapper",
}
"""Old names of modules below this package and their new ones, there or in the plug-in beside it."""
MOVED_NAMES = {
    "RedirectedMixture": "parrot_table.redirected",
    "priors.encoders.StructuredEncoder": "parrot_table.structured",
}
"""What this package or one below it offered by name, and the module that has it now."""
_PLUG_IN = "parrot_table."


def moved_name(package: str, name: str) -> Any:
    """What a package offered by name before it moved, with a warning.

    Raises:
        AttributeError: Nothing of that name.
    """
    new = MOVED_NAMES.get(f"{package}.{name}".removeprefix(f"{_PACKAGE}."))
    if new is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    warnings.warn(f"{package}.{name} is {new}.{name} now.", DeprecationWarning, stacklevel=3)
    return getattr(import_module(new), name)


def names_of(
    package: str, **homes: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names are imported when first used.

    Args:
        package: Its name.
        **homes: The names in each of its modules.

    Returns:
        Both. `__getattr__` raises AttributeError for what is no name of the package, and
        MissingExtraError where its module needs what is not installed.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            return moved_name(package, name)
        try:
            value = getattr(import_module(f"{package}.{home_of[name]}"), name)
        except ModuleNotFoundError as error:
            from parrot_wrapper.errors import MissingExtraError

            raise MissingExtraError(
                f"{package}.{name} needs {error.name}, which is not installed: pip install "
                "'parrot-wrapper[all]'."
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted({*vars(sys.modules[package]), *home_of})


class MovedModules(MetaPathFinder, Loader):
    """Imports `MOVED` modules from where they are now.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     from parrot_wrapper.strict_json import parse_json
        >>> print(caught[0].message)
        parrot_wrapper.strict_json is parrot_wrapper.io.strict_json now.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for the old name of a module that has moved; None for all others."""
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == _PACKAGE and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, not a copy: its classes are the same under both names."""
        new = MOVED[spec.name.partition(".")[2]]
        new = new if new.startswith(_PLUG_IN) else f"{_PACKAGE}.{new}"
        warnings.warn(f"{spec.name} is {new} now.", DeprecationWarning, stacklevel=2)
        module = import_module(new)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do but to give back what the import system has just replaced."""
        module.__spec__ = self._own


if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
    sys.meta_path.append(MovedModules())
