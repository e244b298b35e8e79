"""Kinds of priors, encoders and mixtures by name; see `parrot_wrapper.registry`.

A package offers its own under the entry point groups `parrot_wrapper.priors`,
`parrot_wrapper.encoders` and `parrot_wrapper.mixtures`.
"""

from __future__ import annotations

from parrot_wrapper.registry import Registry

_HERE = "parrot_wrapper.priors"

PRIORS = Registry(
    "kind of prior",
    "parrot_wrapper.priors",
    {
        "flow": f"{_HERE}.flow:FlowPrior",
        "cvae": f"{_HERE}.cvae:CVAEPrior",
        "trajectory": f"{_HERE}.trajectory:TrajectoryVAEPrior",
        "features": f"{_HERE}.vae_features:VAEFeatures",
        "chunk": f"{_HERE}.chunk_flow:ChunkFlowPrior",
        "flow-matching": f"{_HERE}.flow_matching:FlowMatchingPrior",
        "mean-flow": f"{_HERE}.mean_flow:MeanFlowPrior",
        "skill": f"{_HERE}.skill:SkillPrior",
        "latent-variable": f"{_HERE}.latent_variable:LatentVariablePrior",
        "memory": f"{_HERE}.memory_flow:MemoryFlowPrior",
        "bc": "parrot_wrapper.rl.cloned_actor:ClonedActor",
    },
    former={
        "hirl": "cvae",
        "trajrl": "trajectory",
        "trajectory-vae": "trajectory",
        "vae-features": "features",
        "cloned-actor": "bc",
    },
)
"""What `parrot train-prior --kind` makes, by `type_tag`."""

ENCODERS = Registry(
    "encoder",
    "parrot_wrapper.encoders",
    {
        "keypoints": f"{_HERE}.encoders.keypoints:KeypointEncoder",
        "structured": "parrot_table.structured:StructuredEncoder",
        "convolutional": f"{_HERE}.encoders.convolutional:ConvolutionalEncoder",
        "residual": f"{_HERE}.encoders.residual:ResidualEncoder",
        "state": f"{_HERE}.encoders.state:StateEncoder",
        "nothing": f"{_HERE}.encoders.state:NothingEncoder",
    },
)
"""Observation encoders by `name`."""

MIXTURES = Registry(
    "mixture",
    "parrot_wrapper.mixtures",
    {
        "broad": f"{_HERE}.mixtures.broad:BroadMixture",
        "likely": f"{_HERE}.mixtures.reweighted:LikelyMixture",
        "product": f"{_HERE}.mixtures.composed:ProductMixture",
        "other": f"{_HERE}.mixtures.composed:OtherMixture",
    },
)
"""Mixtures of a prior with another way to act, by the `name` of their settings."""
