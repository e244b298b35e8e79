"""A stand-in for the packaged prior, for a checkout in which none has been put yet."""

from pathlib import Path

from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, packaged_names
from parrot_wrapper.types import ObservationSpec

NAME = "parrot-v0"


def provide_packaged_prior(folder: Path) -> None:
    """Make "parrot-v0" loadable from `folder`: a folder of that name stands in for the package."""
    if NAME not in packaged_names():
        config = FlowPriorConfig(ObservationSpec(image=(48, 48, 3)), action_dim=7, hidden=16)
        FlowPrior(config).save(folder / NAME)
