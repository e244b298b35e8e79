"""What to search for RL in a prior's latent space, for RL Baselines3 Zoo's Optuna.

`python -m rl_zoo3.train --algo sac --env ParrotGraspCup-v0 --gym-packages parrot_envs
--conf-file parrot_wrapper.rl_zoo.search -optimize --n-trials 20`. Searched are the KL budget, the
chart and whether the agent sees the env's observation beside the features; all else stays as the
settings say. In settings of your own name `parrot_wrapper.rl_zoo.search.drawn_prior` as
`env_wrapper`. Importing this module replaces the zoo's search space of SAC and TQC.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import gymnasium as gym

from parrot_wrapper.latent import target_entropy
from parrot_wrapper.registry import DEFAULT_PRIOR
from parrot_wrapper.rl_zoo import sac
from parrot_wrapper.wrappers.wrapper import BehavioralPriorWrapper

CHARTS = ("gaussian", "tempered:0.8", "truncated:0.05", "box:2.0")
POLICIES = {"features": "MlpPolicy", "both": "MultiInputPolicy"}
"""SB3's policy for what the agent sees."""
_drawn = threading.local()
"""The trial of this thread: the zoo tells its env wrappers nothing of it."""


def sample(trial: Any, n_actions: int, n_envs: int, additional_args: Any) -> dict[str, Any]:
    """Settings of SAC for an Optuna trial, as the zoo asks for them.

    Args:
        trial: The `optuna.Trial`.
        n_actions: Z, the latent dimensions.
        n_envs: Not used.
        additional_args: Not used.
    """
    kl = trial.suggest_float("kl", 0.5, 20.0, log=True)
    seen = trial.suggest_categorical("observation", list(POLICIES))
    chart = trial.suggest_categorical("latent", list(CHARTS))
    _drawn.options = {"latent": chart, "observation": seen}
    return {"target_entropy": target_entropy(n_actions, kl=kl), "policy": POLICIES[seen]}


def drawn_prior(env: gym.Env[Any, Any], **options: Any) -> BehavioralPriorWrapper:
    """`BehavioralPriorWrapper` with the chart and the observation of the trial under way."""
    return BehavioralPriorWrapper(env, **{**options, **getattr(_drawn, "options", {})})


hyperparams: dict[str, dict[str, Any]] = {
    "default": {
        **sac.hyperparams["default"],
        "env_wrapper": [{f"{__name__}.drawn_prior": {"prior": DEFAULT_PRIOR}}],
    }
}
"""By env id, as `--conf-file` expects it."""

with suppress(ImportError):  # whoever reads this without the zoo has nothing to replace
    from rl_zoo3 import hyperparams_opt

    hyperparams_opt.HYPERPARAMS_SAMPLER.update(sac=sample, tqc=sample)
