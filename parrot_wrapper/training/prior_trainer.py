"""The loss of a flow prior: negative log-likelihood, what its encoder adds, and a penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.training.jacobian_penalty import squared_jacobian
from parrot_wrapper.training.module_trainer import Batch, ModuleTrainer


class PriorTrainer(ModuleTrainer[FlowPrior]):
    """A prior, the moving average of its weights, and Adam.

    Args:
        prior: Trained in place; already on its device.
        bfloat16: Run the encoder under autocast; the flow's arithmetic stays as it is.
        ema_decay: Decay of the moving average after its own warm-up.
        gradient_clip: Largest norm of the gradient.
        jacobian: Weight of `squared_jacobian`.
    """

    def __init__(
        self,
        prior: FlowPrior,
        *,
        bfloat16: bool,
        ema_decay: float,
        gradient_clip: float,
        jacobian: float = 0.0,
    ) -> None:
        device = prior.action_mean.device
        super().__init__(prior, device=device, ema_decay=ema_decay, gradient_clip=gradient_clip)
        self._bfloat16, self._jacobian = bfloat16, jacobian

    def losses(
        self,
        module: FlowPrior,
        batch: Batch,
        *,
        step: int | None,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        """Scalars by name, "nll" (nats) first, "jacobian" if it has a weight.

        With a generator noise goes onto the features; without one the penalty draws the same
        numbers at every call.
        """
        prior = module
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            features, intermediates = prior.encoder.training_features(batch)
        wide = prior.action_mean.dtype
        features = features.to(wide)
        intermediates = {
            key: value.to(wide) if value.is_floating_point() else value
            for key, value in intermediates.items()
        }
        seen = features if generator is None else prior.encoder.perturb(features, generator)
        context = prior.encoder.context(seen)
        losses = {"nll": -prior.log_prob_tensor(batch["action"].to(wide), context).mean()}
        if self._jacobian:
            noise = torch.randn(
                (len(context), 2 * prior.latent_dim),
                generator=generator or torch.Generator(self.device).manual_seed(0),
                device=self.device,
                dtype=wide,
            )
            losses["jacobian"] = self._jacobian * squared_jacobian(prior, context, noise)
        return {**losses, **prior.encoder.auxiliary_losses(intermediates, batch)}
