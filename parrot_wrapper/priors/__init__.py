"""Behavioural priors: flows and others, their encoders, and their folders on disk."""

from parrot_wrapper.priors.cvae import CVAEPrior, CVAEPriorConfig
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.priors.flow import FlowPrior, FlowPriorConfig, flow_config
from parrot_wrapper.priors.loading import load_prior, packaged_names
from parrot_wrapper.priors.trajectory import TrajectoryVAEPrior, TrajectoryVAEPriorConfig
from parrot_wrapper.priors.vae_features import VAEFeatures, VAEFeaturesConfig

__all__ = [
    "CVAEPrior",
    "CVAEPriorConfig",
    "EncoderPrior",
    "FlowPrior",
    "FlowPriorConfig",
    "TrajectoryVAEPrior",
    "TrajectoryVAEPriorConfig",
    "VAEFeatures",
    "VAEFeaturesConfig",
    "flow_config",
    "load_prior",
    "packaged_names",
]
