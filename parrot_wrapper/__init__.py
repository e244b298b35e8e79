"""Behavioural priors for reinforcement learning: act in the latent space of a learned prior.

Learn a prior from demonstrations
    EpisodeDataset.from_arrays      episodes in memory
    load_dataset, save_dataset      episodes on disk; ShardStream for more than memory holds
    fit_prior(data).prior           learn a flow prior; PriorTrainingConfig has the settings
    prior.save, load_prior          a prior on disk; "parrot-v0" comes with the package
    judge_prior(prior, env)         is it ready for RL?
    FlowPrior, FlowPriorConfig, flow_config     a prior with sizes of your own choice

Act in its latent space
    BehavioralPriorWrapper          one Gymnasium env
    BehavioralPriorVecWrapper       a VecEnv of Stable-Baselines3
    BehavioralPriorVectorWrapper    a vector env of Gymnasium, such as
    GroupedVectorEnv                tens to thousands of envs in a few processes
    ActionChunking                  several actions a step, for priors over chunks
    target_entropy, kl_to_prior     how far an agent may leave the prior, and how far it did
    parse_chart                     the map from the agent's actions to latents
    BroadMixture                    a prior in a mixture, for what its data do not show
    LayerNormReLU                   an activation that makes SAC learn faster
    DemonstrationReplayBuffer, RewardedReplayBuffer     replay with demonstrations or with rewards;
                                    DemonstrationDictReplayBuffer, RewardedDictReplayBuffer

Measure an agent
    evaluate(model, env)            success on held-out episodes, with a 95 % interval

Write your own: ActionPrior and ObservationSpec say what a prior is. Errors are ParrotErrors.
Documentation of a name: help(parrot_wrapper.fit_prior). Names are imported when they are first
used, so `import parrot_wrapper` is quick and needs no extra.
"""

import sys
from typing import TYPE_CHECKING

from parrot_wrapper import surroundings as _surroundings  # noqa: F401  # minds forked processes
from parrot_wrapper.lazy_names import names_of as _names_of

if TYPE_CHECKING:
    from parrot_wrapper.data import EpisodeDataset, ShardStream, load_dataset, save_dataset
    from parrot_wrapper.errors import ParrotError
    from parrot_wrapper.evaluation import evaluate, judge_prior
    from parrot_wrapper.latent import kl_to_prior, parse_chart, target_entropy
    from parrot_wrapper.priors import FlowPrior, FlowPriorConfig, flow_config, load_prior
    from parrot_wrapper.priors.mixtures.broad import BroadMixture
    from parrot_wrapper.rl.normed_activation import LayerNormReLU
    from parrot_wrapper.rl.replay.buffers import (
        DemonstrationDictReplayBuffer,
        DemonstrationReplayBuffer,
        RewardedDictReplayBuffer,
        RewardedReplayBuffer,
    )
    from parrot_wrapper.training.prior import fit_prior
    from parrot_wrapper.training.prior_config import PriorTrainingConfig
    from parrot_wrapper.types import ActionPrior, ObservationSpec
    from parrot_wrapper.wrappers.action_chunking import ActionChunking
    from parrot_wrapper.wrappers.grouped_envs import GroupedVectorEnv
    from parrot_wrapper.wrappers.vec_wrapper import BehavioralPriorVecWrapper
    from parrot_wrapper.wrappers.vector_wrapper import BehavioralPriorVectorWrapper
    from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper

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
    "EpisodeDataset",
    "FlowPrior",
    "FlowPriorConfig",
    "GroupedVectorEnv",
    "LayerNormReLU",
    "ObservationSpec",
    "ParrotError",
    "PriorTrainingConfig",
    "RewardedDictReplayBuffer",
    "RewardedReplayBuffer",
    "ShardStream",
    "evaluate",
    "fit_prior",
    "flow_config",
    "judge_prior",
    "kl_to_prior",
    "load_dataset",
    "load_prior",
    "parse_chart",
    "save_dataset",
    "target_entropy",
]

__getattr__, _ = _names_of(
    __name__,
    **{
        "data": ["EpisodeDataset", "ShardStream", "load_dataset", "save_dataset"],
        "errors": ["ParrotError"],
        "evaluation": ["evaluate", "judge_prior"],
        "latent": ["kl_to_prior", "parse_chart", "target_entropy"],
        "priors": ["FlowPrior", "FlowPriorConfig", "flow_config", "load_prior"],
        "priors.mixtures.broad": ["BroadMixture"],
        "rl.normed_activation": ["LayerNormReLU"],
        "rl.replay.buffers": [
            "DemonstrationDictReplayBuffer",
            "DemonstrationReplayBuffer",
            "RewardedDictReplayBuffer",
            "RewardedReplayBuffer",
        ],
        "training.prior": ["fit_prior"],
        "training.prior_config": ["PriorTrainingConfig"],
        "types": ["ActionPrior", "ObservationSpec"],
        "wrappers.action_chunking": ["ActionChunking"],
        "wrappers.grouped_envs": ["GroupedVectorEnv"],
        "wrappers.vec_wrapper": ["BehavioralPriorVecWrapper"],
        "wrappers.vector_wrapper": ["BehavioralPriorVectorWrapper"],
        "wrappers.wrapper": ["BehavioralPriorWrapper"],
    },
)


def __dir__() -> list[str]:
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") == "inspect" and frame.f_back is not None:
        frame = frame.f_back
    if frame.f_globals.get("__name__") == "pydoc":
        return []  # help() would print every class in full, thousands of lines; see above
    return sorted({*globals(), *__all__})
