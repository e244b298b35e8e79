"""Leave out gradients that SAC makes and throws away."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.policies import ContinuousCritic


def skip_unused_gradients(critic: ContinuousCritic) -> None:
    """Keep the actor's loss from making gradients of the critic's weights.

    SB3's SAC differentiates the critic's value by its weights too when all that it wants is the
    gradient by the action, and clears the result before the critic's own update. Without it the
    networks stay the same, bit for bit, and an update takes less time.

    Args:
        critic: The critic of a SAC model; hooks are put around its `forward`.
    """

    def before(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        _, actions = inputs
        if torch.is_grad_enabled() and actions.requires_grad:  # the actor's own, not replayed ones
            module.requires_grad_(False)

    def after(module: torch.nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        module.requires_grad_(True)

    critic.register_forward_pre_hook(before)
    critic.register_forward_hook(after, always_call=True)
