"""One gradient step and one validation of a prior, and the tensors that carry on from there."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from parrot_wrapper.priors.flow import FlowPrior

Batch = Mapping[str, Tensor]
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether the encoder runs in bfloat16: as asked, or for "auto" where the processor has it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # absent on some builds
    return device.type == "cpu" and any(
        bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes
    )


class PriorTrainer:
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
        self.prior = prior.requires_grad_(True)
        self.average = copy.deepcopy(prior).requires_grad_(False).eval()
        self._bfloat16 = bfloat16
        self._ema_decay = ema_decay
        self._gradient_clip = gradient_clip
        self._parameters: list[Tensor] = list(prior.parameters())
        self._averages: list[Tensor] = list(self.average.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, fused=True)
        self._device = prior.action_mean.device

    def losses(
        self, prior: FlowPrior, batch: Batch, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Scalars by name, "nll" (nats) first; their sum is what training minimises.

        Args:
            prior: The trained prior or its average.
            batch: On the prior's device.
            generator: Source of the encoder's perturbation of features; None for none.
        """
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
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

    def update(
        self, batch: Batch, *, step: int, learning_rate: float, seed: int
    ) -> dict[str, Tensor]:
        """One gradient step; returns the detached losses and the gradient's norm.

        Args:
            batch: On any device.
            step: Number of this step, from 0.
            learning_rate: Adam's step size.
            seed: Seed of the encoder's perturbation in this step.
        """
        generator = torch.Generator(self._device).manual_seed(seed)
        self.prior.train()
        losses = self.losses(self.prior, self._moved(batch), generator)
        self._optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._gradient_clip)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.step()
        self._follow(min(self._ema_decay, (1 + step) / (10 + step)))
        result = {name: loss.detach() for name, loss in losses.items()}
        return {**result, "gradient_norm": norm.detach()}

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        torch._foreach_lerp_(self._averages, self._parameters, 1.0 - decay)
        for mine, theirs in zip(self.average.buffers(), self.prior.buffers(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean losses of the averaged weights, without perturbation."""
        self.average.eval()
        rows = [self.losses(self.average, self._moved(batch), None) for batch in batches]
        return {
            name: torch.stack([row[name].double() for row in rows]).mean().item()
            for name in rows[0]
        }

    def _moved(self, batch: Batch) -> dict[str, Tensor]:
        return {key: value.to(self._device, non_blocking=True) for key, value in batch.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the averaged weights."""
        return {name: tensor.clone() for name, tensor in self.average.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        stored = {f"model/{name}": tensor for name, tensor in self.prior.state_dict().items()}
        for name, tensor in self.average.state_dict().items():
            stored[f"average/{name}"] = tensor
        for name, parameter in self.prior.named_parameters():
            for moment in _MOMENTS:
                state = self._optimiser.state.get(parameter, {})
                if moment in state:
                    stored[f"adam/{moment}/{name}"] = state[moment]
        return stored

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Continue from `tensors`' output; names that do not fit raise KeyError or RuntimeError."""
        self.prior.load_state_dict(_below("model/", stored))
        self.average.load_state_dict(_below("average/", stored))
        for name, parameter in self.prior.named_parameters():
            if f"adam/step/{name}" not in stored:  # the parameter has had no gradient yet
                continue
            self._optimiser.state[parameter] = {
                "step": stored[f"adam/step/{name}"].to(self._device, torch.float32),
                **{
                    moment: torch.empty_like(parameter.data).copy_(stored[f"adam/{moment}/{name}"])
                    for moment in _MOMENTS[1:]
                },
            }


def _below(prefix: str, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }
