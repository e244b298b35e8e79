"""One gradient step and one validation of a prior, and the tensors that carry on from there."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from parrot_wrapper.errors import NotOfferedError
from parrot_wrapper.priors.trainable import Batch, Trainable
from parrot_wrapper.training.optimiser import Optimiser
from parrot_wrapper.training.prior_config import PriorTrainingConfig
from parrot_wrapper.training.ranks import Ranks


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to run in bfloat16: as asked, or for "auto" where that is faster.

    On a Xeon with avx512_bf16 but no AMX, a training step took 1.55 times as long in bfloat16.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)  # absent on some builds
    return device.type == "cpu" and bool(has_amx())


class PriorTrainer:
    """A prior, the moving average of its weights, and their optimiser.

    Args:
        prior: Trained in place; already on its device.
        config: Settings.
        device: That device.
        ranks: The processes that train together; None for this one alone.
    """

    def __init__(
        self,
        prior: Trainable,
        config: PriorTrainingConfig,
        device: torch.device,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        self.prior = prior.requires_grad_(True)
        self.average = copy.deepcopy(prior).requires_grad_(False).eval()
        self.device = device
        self._config = config
        self._bfloat16 = use_bfloat16(config.precision, device)
        self._parameters: list[Tensor] = list(prior.parameters())
        if not self._parameters:
            raise NotOfferedError(f"A prior of type {prior.type_tag!r} has no weights to train.")
        self._averages: list[Tensor] = list(self.average.parameters())
        self._optimiser = Optimiser(prior.named_parameters(), muon=config.optimiser == "muon")

    def _losses(
        self, prior: Trainable, batch: Batch, *, progress: float, seed: int
    ) -> dict[str, Tensor]:
        moved = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        moved["progress"] = torch.tensor(progress, device=self.device)
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            found = prior.losses(moved, generator)
        return {k: v if v.dtype == torch.float64 else v.float() for k, v in found.items()}

    def update(
        self, batch: Batch, *, step: int, learning_rate: float, seed: int
    ) -> dict[str, Tensor]:
        """One gradient step; returns the detached losses and the gradient's norm.

        Args:
            batch: On any device; of several processes each has its own rows.
            step: Number of this step, from 0.
            learning_rate: The optimiser's step size.
            seed: Seed of the step's own noise.
        """
        self.prior.train()
        noise = seed + self.ranks.rank
        losses = self._losses(self.prior, batch, progress=step / self._config.steps, seed=noise)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        gradients = [entry.grad for entry in self._parameters if entry.grad is not None]
        self.ranks.average([*gradients, *(loss.detach() for loss in losses.values())])
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.gradient_clip)
        self._optimiser.step(learning_rate)
        self._follow(min(self._config.ema_decay, (1 + step) / (10 + step)))
        result = {name: loss.detach() for name, loss in losses.items()}
        return {**result, "gradient_norm": norm.detach()}

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        torch._foreach_lerp_(self._averages, self._parameters, 1.0 - decay)
        for mine, theirs in zip(self.average.buffers(), self.prior.buffers(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean losses of the averaged weights, as at the end of the run and with the same noise."""
        self.average.eval()
        rows = [self._losses(self.average, batch, progress=1.0, seed=0) for batch in batches]
        return {
            name: torch.stack([row[name].double() for row in rows]).mean().item()
            for name in rows[0]
        }

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the averaged weights."""
        return {name: tensor.clone() for name, tensor in self.average.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        stored = {f"model/{name}": tensor for name, tensor in self.prior.state_dict().items()}
        for name, tensor in self.average.state_dict().items():
            stored[f"average/{name}"] = tensor
        return {**stored, **self._optimiser.tensors()}

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Continue from `tensors`' output; names that do not fit raise KeyError or RuntimeError."""
        self.prior.load_state_dict(_below("model/", stored))
        self.average.load_state_dict(_below("average/", stored))
        self._optimiser.restore(stored)


def _below(prefix: str, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }
