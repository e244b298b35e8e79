"""Behavioural priors for reinforcement learning: act in the latent space of a learned prior.

Names are imported when they are first used, so `import parrot_wrapper` is quick and needs no extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_wrapper.action_chunking import ActionChunking
    from parrot_wrapper.broad_mixture import BroadMixture
    from parrot_wrapper.errors import ParrotError
    from parrot_wrapper.latent import kl_to_prior, parse_chart, target_entropy
    from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, load_prior
    from parrot_wrapper.redirected_mixture import RedirectedMixture
    from parrot_wrapper.training.demonstration_replay import (
        DemonstrationDictReplayBuffer,
        DemonstrationReplayBuffer,
    )
    from parrot_wrapper.training.normed_activation import LayerNormReLU
    from parrot_wrapper.training.rewarded_replay import (
        RewardedDictReplayBuffer,
        RewardedReplayBuffer,
    )
    from parrot_wrapper.types import ActionPrior, ObservationSpec
    from parrot_wrapper.vec_wrapper import BehavioralPriorVecWrapper
    from parrot_wrapper.vector_wrapper import BehavioralPriorVectorWrapper
    from parrot_wrapper.wrapper import BehavioralPriorWrapper

__version__ = "0.1.0"
__all__ = [
    "ActionChunking",
    "ActionPrior",
    "BehavioralPriorVecWrapper",
    "BehavioralPriorVectorWrapper",
    "BehavioralPriorWrapper",
    "BroadMixture",
    "DemonstrationDictReplayBuffer",
    "DemonstrationReplayBuffer",
    "FlowPrior",
    "FlowPriorConfig",
    "LayerNormReLU",
    "ObservationSpec",
    "ParrotError",
    "RedirectedMixture",
    "RewardedDictReplayBuffer",
    "RewardedReplayBuffer",
    "kl_to_prior",
    "load_prior",
    "parse_chart",
    "target_entropy",
]

_HOMES = {
    "ActionChunking": "action_chunking",
    "ActionPrior": "types",
    "BehavioralPriorVecWrapper": "vec_wrapper",
    "BehavioralPriorVectorWrapper": "vector_wrapper",
    "BehavioralPriorWrapper": "wrapper",
    "BroadMixture": "broad_mixture",
    "DemonstrationDictReplayBuffer": "training.demonstration_replay",
    "DemonstrationReplayBuffer": "training.demonstration_replay",
    "FlowPrior": "priors",
    "FlowPriorConfig": "priors",
    "LayerNormReLU": "training.normed_activation",
    "ObservationSpec": "types",
    "ParrotError": "errors",
    "RedirectedMixture": "redirected_mixture",
    "RewardedDictReplayBuffer": "training.rewarded_replay",
    "RewardedReplayBuffer": "training.rewarded_replay",
    "kl_to_prior": "latent",
    "load_prior": "priors",
    "parse_chart": "latent",
    "target_entropy": "latent",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
