"""The loss of a flow prior: negative log-likelihood and what its encoder adds."""

from __future__ import annotations

import torch
from torch import Tensor

from parrot_wrapper.priors.flow import FlowPrior
from parrot_wrapper.training.module_trainer import Batch, ModuleTrainer


class PriorTrainer(ModuleTrainer[FlowPrior]):
    """A prior, the moving average of its weights, and Adam.

    Args:
        prior: Trained in place; already on its device.
        bfloat16: Run the encoder under autocast; the flow's arithmetic stays as it is.
        ema_decay: Decay of the moving average after its own warm-up.
        gradient_clip: Largest norm of the gradient.
    """

    def __init__(
        self, prior: FlowPrior, *, bfloat16: bool, ema_decay: float, gradient_clip: float
    ) -> None:
        device = prior.action_mean.device
        super().__init__(prior, device=device, ema_decay=ema_decay, gradient_clip=gradient_clip)
        self._bfloat16 = bfloat16

    def losses(
        self,
        module: FlowPrior,
        batch: Batch,
        *,
        step: int | None,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        """Scalars by name, "nll" (nats) first; noise goes onto the features."""
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
        log_prob = prior.log_prob_tensor(batch["action"].to(wide), prior.encoder.context(seen))
        auxiliary = prior.encoder.auxiliary_losses(intermediates, batch)
        return {"nll": -log_prob.mean(), **auxiliary}
