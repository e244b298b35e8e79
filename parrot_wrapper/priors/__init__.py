"""Behavioural priors: flows, their encoders, and their folders on disk."""

from parrot_wrapper.priors.config import FlowPriorConfig
from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.priors.loading import load_prior, packaged_names

__all__ = ["FlowPrior", "FlowPriorConfig", "load_prior", "packaged_names"]
