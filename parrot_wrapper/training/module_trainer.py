"""One gradient step and one validation of a module, and the tensors that carry on from there."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
ModuleT = TypeVar("ModuleT", bound=nn.Module)
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to run in bfloat16: as asked, or for "auto" where the processor has it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # absent on some builds
    return device.type == "cpu" and any(
        bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes
    )


class ModuleTrainer(Generic[ModuleT]):
    """A module, the moving average of its weights, and Adam. A subclass writes `losses`.

    Args:
        module: Trained in place; already on its device.
        device: That device.
        ema_decay: Decay of the moving average after its own warm-up.
        gradient_clip: Largest norm of the gradient.
    """

    def __init__(
        self, module: ModuleT, *, device: torch.device, ema_decay: float, gradient_clip: float
    ) -> None:
        self.module = module.requires_grad_(True)
        self.average = copy.deepcopy(module).requires_grad_(False).eval()
        self._ema_decay = ema_decay
        self._gradient_clip = gradient_clip
        self._parameters: list[Tensor] = list(module.parameters())
        self._averages: list[Tensor] = list(self.average.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, fused=True)
        self.device = device

    def losses(
        self, module: ModuleT, batch: Batch, *, step: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Scalars by name; their sum is what training minimises.

        Args:
            module: The trained module or its average.
            batch: On the module's device.
            step: Number of this step, from 0; None in validation.
            generator: Source of the step's own noise; None in validation.
        """
        raise NotImplementedError

    def update(
        self, batch: Batch, *, step: int, learning_rate: float, seed: int
    ) -> dict[str, Tensor]:
        """One gradient step; returns the detached losses and the gradient's norm.

        Args:
            batch: On any device.
            step: Number of this step, from 0.
            learning_rate: Adam's step size.
            seed: Seed of the step's own noise.
        """
        generator = torch.Generator(self.device).manual_seed(seed)
        self.module.train()
        losses = self.losses(self.module, self._moved(batch), step=step, generator=generator)
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
        for mine, theirs in zip(self.average.buffers(), self.module.buffers(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean losses of the averaged weights, without noise."""
        self.average.eval()
        rows = [
            self.losses(self.average, self._moved(batch), step=None, generator=None)
            for batch in batches
        ]
        return {
            name: torch.stack([row[name].double() for row in rows]).mean().item()
            for name in rows[0]
        }

    def _moved(self, batch: Batch) -> dict[str, Tensor]:
        return {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the averaged weights."""
        return {name: tensor.clone() for name, tensor in self.average.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        stored = {f"model/{name}": tensor for name, tensor in self.module.state_dict().items()}
        for name, tensor in self.average.state_dict().items():
            stored[f"average/{name}"] = tensor
        for name, parameter in self.module.named_parameters():
            for moment in _MOMENTS:
                state = self._optimiser.state.get(parameter, {})
                if moment in state:
                    stored[f"adam/{moment}/{name}"] = state[moment]
        return stored

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Continue from `tensors`' output; names that do not fit raise KeyError or RuntimeError."""
        self.module.load_state_dict(_below("model/", stored))
        self.average.load_state_dict(_below("average/", stored))
        for name, parameter in self.module.named_parameters():
            if f"adam/step/{name}" not in stored:  # the parameter has had no gradient yet
                continue
            self._optimiser.state[parameter] = {
                "step": stored[f"adam/step/{name}"].to(self.device, torch.float32),
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
