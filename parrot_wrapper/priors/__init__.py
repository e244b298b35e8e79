"""Behavioural priors: flows and others, their encoders, and their folders on disk.

Names are imported when they are first used: the register of kinds needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_wrapper.priors.chunk_flow import ChunkFlowPrior, ChunkFlowPriorConfig
    from parrot_wrapper.priors.cvae import CVAEPrior, CVAEPriorConfig
    from parrot_wrapper.priors.encoder_prior import EncoderPrior
    from parrot_wrapper.priors.flow import FlowPrior, FlowPriorConfig, flow_config
    from parrot_wrapper.priors.flow_matching import FlowMatchingPrior, FlowMatchingPriorConfig
    from parrot_wrapper.priors.loading import load_prior, packaged_names
    from parrot_wrapper.priors.mean_flow import MeanFlowPrior, MeanFlowPriorConfig
    from parrot_wrapper.priors.skill import SkillPrior, SkillPriorConfig
    from parrot_wrapper.priors.trajectory import TrajectoryVAEPrior, TrajectoryVAEPriorConfig
    from parrot_wrapper.priors.vae_features import VAEFeatures, VAEFeaturesConfig

__all__ = [
    "CVAEPrior",
    "CVAEPriorConfig",
    "ChunkFlowPrior",
    "ChunkFlowPriorConfig",
    "EncoderPrior",
    "FlowMatchingPrior",
    "FlowMatchingPriorConfig",
    "FlowPrior",
    "FlowPriorConfig",
    "MeanFlowPrior",
    "MeanFlowPriorConfig",
    "SkillPrior",
    "SkillPriorConfig",
    "TrajectoryVAEPrior",
    "TrajectoryVAEPriorConfig",
    "VAEFeatures",
    "VAEFeaturesConfig",
    "flow_config",
    "load_prior",
    "packaged_names",
]

_HOMES = {
    "CVAEPrior": "cvae",
    "CVAEPriorConfig": "cvae",
    "ChunkFlowPrior": "chunk_flow",
    "ChunkFlowPriorConfig": "chunk_flow",
    "EncoderPrior": "encoder_prior",
    "FlowMatchingPrior": "flow_matching",
    "FlowMatchingPriorConfig": "flow_matching",
    "FlowPrior": "flow",
    "FlowPriorConfig": "flow",
    "MeanFlowPrior": "mean_flow",
    "MeanFlowPriorConfig": "mean_flow",
    "SkillPrior": "skill",
    "SkillPriorConfig": "skill",
    "TrajectoryVAEPrior": "trajectory",
    "TrajectoryVAEPriorConfig": "trajectory",
    "VAEFeatures": "vae_features",
    "VAEFeaturesConfig": "vae_features",
    "flow_config": "flow",
    "load_prior": "loading",
    "packaged_names": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
