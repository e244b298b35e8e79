"""Behavioural priors: flows and others, their encoders, and their folders on disk.

Names are imported when they are first used: the register of kinds needs no torch.
"""

from typing import TYPE_CHECKING

from parrot_wrapper.lazy_names import names_of

if TYPE_CHECKING:
    from parrot_wrapper.priors.chunk_flow import ChunkFlowPrior, ChunkFlowPriorConfig
    from parrot_wrapper.priors.cvae import CVAEPrior, CVAEPriorConfig
    from parrot_wrapper.priors.encoder_prior import EncoderPrior
    from parrot_wrapper.priors.flow import FlowPrior, FlowPriorConfig, flow_config
    from parrot_wrapper.priors.flow_matching import FlowMatchingPrior, FlowMatchingPriorConfig
    from parrot_wrapper.priors.latent_variable import (
        LatentVariablePrior,
        LatentVariablePriorConfig,
    )
    from parrot_wrapper.priors.loading import load_prior, packaged_names
    from parrot_wrapper.priors.mean_flow import MeanFlowPrior, MeanFlowPriorConfig
    from parrot_wrapper.priors.memory_flow import MemoryFlowPrior, MemoryFlowPriorConfig
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
    "LatentVariablePrior",
    "LatentVariablePriorConfig",
    "MeanFlowPrior",
    "MeanFlowPriorConfig",
    "MemoryFlowPrior",
    "MemoryFlowPriorConfig",
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

__getattr__, __dir__ = names_of(
    __name__,
    chunk_flow=["ChunkFlowPrior", "ChunkFlowPriorConfig"],
    cvae=["CVAEPrior", "CVAEPriorConfig"],
    encoder_prior=["EncoderPrior"],
    flow=["FlowPrior", "FlowPriorConfig", "flow_config"],
    flow_matching=["FlowMatchingPrior", "FlowMatchingPriorConfig"],
    latent_variable=["LatentVariablePrior", "LatentVariablePriorConfig"],
    loading=["load_prior", "packaged_names"],
    mean_flow=["MeanFlowPrior", "MeanFlowPriorConfig"],
    memory_flow=["MemoryFlowPrior", "MemoryFlowPriorConfig"],
    skill=["SkillPrior", "SkillPriorConfig"],
    trajectory=["TrajectoryVAEPrior", "TrajectoryVAEPriorConfig"],
    vae_features=["VAEFeatures", "VAEFeaturesConfig"],
)
