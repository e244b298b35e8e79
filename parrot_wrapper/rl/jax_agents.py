"""SAC of SBX, which is Stable-Baselines3's in JAX, and all that its next update depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from stable_baselines3 import SAC
from torch import Tensor

from parrot_wrapper.errors import needed_extra

_KEY = "keys/{}"


def make_sac(policy_kwargs: Mapping[str, Any], *, layer_norm: bool, **options: Any) -> SAC:
    """SBX's SAC on vectors; to callbacks it is SB3's.

    Args:
        policy_kwargs: SB3's, of which the widths serve.
        layer_norm: Layer normalisation in the critics; SBX has none in the actor.
        **options: As of SB3's SAC.

    Raises:
        MissingExtraError: SBX is not installed.
    """
    with needed_extra("sbx", "Training with SBX needs JAX"):
        import sbx
    kwargs = {"net_arch": policy_kwargs["net_arch"], "layer_norm": layer_norm}
    return cast("SAC", sbx.SAC("MlpPolicy", policy_kwargs=kwargs, **options))


def in_jax(model: object) -> bool:
    """Whether an agent is of `make_sac`."""
    return not isinstance(model, SAC)


def model_arrays(model: Any) -> dict[str, npt.NDArray[Any]]:
    """Networks, optimisers, entropy coefficient and generators, by name."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(_states(model))
    arrays = {jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves}
    keys = {"train": model.key, "policy": model.policy.key, "noise": model.policy.noise_key}
    return {**arrays, **{_KEY.format(name): np.array(key) for name, key in keys.items()}}


def restore_arrays(model: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Continue from `model_arrays`' output.

    Raises:
        KeyError: An array is missing.
        ValueError: One is of another shape.
    """
    import jax
    import jax.numpy as jnp

    def stored(path: Any, leaf: Any) -> Any:
        found = arrays[jax.tree_util.keystr(path)]
        if found.shape != np.shape(leaf):
            raise ValueError(f"{jax.tree_util.keystr(path)}: {found.shape}, not {np.shape(leaf)}")
        return jnp.asarray(found, dtype=jnp.asarray(leaf).dtype)

    states = jax.tree_util.tree_map_with_path(stored, _states(model))
    model.policy.actor_state, model.policy.qf_state = states["actor"], states["critic"]
    model.ent_coef_state = states["ent_coef"]
    train, policy, noise = (
        jnp.asarray(arrays[_KEY.format(name)]) for name in ("train", "policy", "noise")
    )
    model.key, model.policy.key, model.policy.noise_key = train, policy, noise


def mean_log_prob(model: Any, observations: Tensor, *, seed: int) -> float:
    """Mean log density of one sample of the policy for each observation (B, F)."""
    import jax

    state = model.policy.actor_state
    policy = state.apply_fn(state.params, observations.cpu().numpy())
    return float(policy.log_prob(policy.sample(seed=jax.random.PRNGKey(seed))).mean())


def _states(model: Any) -> dict[str, Any]:
    policy = model.policy
    states = {"actor": policy.actor_state, "critic": policy.qf_state}
    return {**states, "ent_coef": model.ent_coef_state}
