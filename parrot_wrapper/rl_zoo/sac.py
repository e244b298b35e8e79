"""Settings of SAC for RL Baselines3 Zoo: those of `parrot train`, in the zoo's names.

`python -m rl_zoo3.train --algo sac --env ParrotGraspCup-v0 --gym-packages parrot_envs
--conf-file parrot_wrapper.rl_zoo.sac`. The zoo takes "default" for every env id; all envs of
`parrot_envs` have the same actions, and the packaged prior fits them.
"""

from __future__ import annotations

from typing import Any

from parrot_wrapper.latent import target_entropy
from parrot_wrapper.registry import DEFAULT_PRIOR
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.normed_activation import LayerNormReLU

_MEASURED = RLConfig(env_id="default", prior=DEFAULT_PRIOR)
_LATENT_DIM = 7

hyperparams: dict[str, dict[str, Any]] = {
    "default": {
        "env_wrapper": [
            {
                "parrot_wrapper.BehavioralPriorWrapper": {
                    "prior": _MEASURED.prior,
                    "observation": _MEASURED.observation,
                    "latent": _MEASURED.latent,
                }
            }
        ],
        # The zoo adds this for panda-gym only; without it no success rate is logged.
        "monitor_kwargs": {"info_keywords": ("is_success",)},
        "policy": "MlpPolicy",
        "n_timesteps": _MEASURED.total_steps,
        "learning_rate": _MEASURED.learning_rate,
        "learning_starts": _MEASURED.learning_starts,
        "buffer_size": _MEASURED.buffer_size,
        "batch_size": _MEASURED.batch_size,
        "gamma": _MEASURED.gamma,
        "tau": _MEASURED.tau,
        "train_freq": _MEASURED.train_freq,
        "gradient_steps": _MEASURED.gradient_steps,
        "ent_coef": _MEASURED.ent_coef,
        "target_entropy": target_entropy(_LATENT_DIM, kl=_MEASURED.kl_budget(_LATENT_DIM)),
        "policy_kwargs": {
            "net_arch": list(_MEASURED.net_arch),
            "activation_fn": LayerNormReLU,
        },
    }
}
"""By env id, as `--conf-file` expects it."""
