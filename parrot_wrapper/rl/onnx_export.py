"""An agent and its prior in one ONNX file: observation in, action out, without torch or SB3."""

from __future__ import annotations

import copy
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC
from torch import Tensor, nn

from parrot_wrapper.checks import as_path
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, needed_extra
from parrot_wrapper.io.atomic_files import atomic_path
from parrot_wrapper.latent.charts import EDGE, BoxChart, Chart, QuantileChart
from parrot_wrapper.priors.encoder_prior import EncoderPrior
from parrot_wrapper.types import IMPORTED_KEYS_FACT, KEYS_FACT, PIXELS_FACT, OffersMemory
from parrot_wrapper.wrappers.chunk import closed_loop

METADATA_KEY = "parrot"
_TOLD = (KEYS_FACT, IMPORTED_KEYS_FACT, PIXELS_FACT, "env_id")
_CHECKED = 16
"""Observations on which an exported file is compared with what it was made of."""
_CENTRE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
           -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
         -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def export_onnx(model: SAC, path: str | Path) -> float:
    """Write an agent that acts in a prior's latent space, with the prior, as one ONNX graph.

    Its inputs are the parts of one observation that the prior looks at, (1, H, W, C) uint8 images
    and (1, S) float32 vectors, by their names; its output "action" is (1, A), or a chunk (1, H, A),
    float32, within the box of the prior's data: what `model.predict(..., deterministic=True)` leads
    to. Facts to read observations by are JSON under "parrot" in the file's metadata: the env's keys
    of each part, and the range of pixels of images that were no uint8.

    Args:
        model: SAC, or another algorithm with such an actor (TQC, CrossQ of sb3-contrib), with its
            env, a `BehavioralPriorWrapper` with `observation="features"`.
        path: The file; one that is there is replaced.

    Returns:
        The largest difference between its actions and the original's, on random observations.

    Raises:
        InvalidArgumentError: The env is no such env, or the agent has no such actor.
        NotOfferedError: A prior, or a chart, that is not of this package's torch modules, has a
            memory, or decodes each action for the newest observation.
        MissingExtraError: The extra `onnx` is not installed.
        WriteError: The disk is full, or the folder cannot be written to.
    """
    target = as_path("path", path)
    prior, chart = _driven(model)
    actor: Any = getattr(model.policy, "actor", None)
    if not (hasattr(actor, "mu") and hasattr(actor, "latent_pi")):
        raise InvalidArgumentError(
            f"Expected an agent whose actor is SAC's, got {type(model).__name__}."
        )
    with needed_extra("onnx", "Exporting an agent needs ONNX and its runtime"):
        import onnxruntime
        import onnxscript  # noqa: F401  # torch writes by it

    deployed = _Deployed(prior, chart, copy.deepcopy(actor).cpu()).eval()
    shown = _observations(prior)
    with torch.inference_mode():
        expected = deployed(*shown.values()).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its own code
        exported = torch.onnx.export(
            deployed,
            tuple(part[:1] for part in shown.values()),
            input_names=list(shown),
            output_names=["action"],
            dynamo=True,
            verbose=False,
        )
    assert exported is not None  # with dynamo it is returned
    exported.model.metadata_props[METADATA_KEY] = json.dumps(_facts(prior))
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial:
        exported.save(str(partial))
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    rows = [{name: part[[row]].numpy() for name, part in shown.items()} for row in range(_CHECKED)]
    actions = np.concatenate([session.run(None, row)[0] for row in rows])
    return float(np.abs(actions - expected).max())


def _driven(model: SAC) -> tuple[EncoderPrior, Chart]:
    env = model.get_env()
    driven = env is not None and env.has_attr("agent_observation")
    if env is None or not driven or env.get_attr("agent_observation")[0] != "features":
        raise InvalidArgumentError(
            "Expected a model with its env in BehavioralPriorWrapper(..., observation='features'), "
            f"got {env}."
        )
    prior, chart = env.get_attr("prior")[0], env.get_attr("chart")[0]
    told = type(prior).__name__
    if not isinstance(prior, EncoderPrior) or isinstance(prior, OffersMemory):
        raise NotOfferedError(
            f"Expected a prior of one observation in torch, got {told}; mixtures, policies of "
            "other libraries and priors with a memory cannot be exported."
        )
    if closed_loop(prior) is not None:
        raise NotOfferedError(
            f"Expected a prior whose chunks are executed as planned, got {told}, which decodes "
            "each action for the newest observation; plan open loop (prior.replanned(False))."
        )
    if not isinstance(chart, QuantileChart | BoxChart):
        raise NotOfferedError(f"Expected a chart of single dimensions, got {chart.spec!r}.")
    return prior, chart


def _observations(prior: EncoderPrior) -> dict[str, Tensor]:
    """Random ones (B, ...), of each part that the prior looks at."""
    generator = torch.Generator().manual_seed(0)
    spec = prior.observation_spec
    return {
        name: torch.randint(0, 256, (_CHECKED, *shape), dtype=torch.uint8, generator=generator)
        if name in spec.images
        else torch.randn((_CHECKED, *shape), generator=generator)
        for name, shape in spec.parts.items()
    }


def _facts(prior: EncoderPrior) -> dict[str, Any]:
    told = {key: prior.metadata[key] for key in _TOLD if key in prior.metadata}
    low, high = (edge.tolist() for edge in prior.action_bounds)
    return {**told, "action_low": low, "action_high": high}


class _Deployed(nn.Module):
    """Observation, features, policy, chart, decoder and clipping, one after the other."""

    def __init__(self, prior: EncoderPrior, chart: Chart, actor: Any) -> None:
        super().__init__()
        self.prior = copy.deepcopy(prior).requires_grad_(False).cpu().float()
        self.actor = actor.requires_grad_(False)
        self.chart = chart
        low, high = (torch.from_numpy(edge) for edge in prior.action_bounds)
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, *parts: Tensor) -> Tensor:
        """Actions (B, A), chunks (B, H, A), of the parts in the order of the prior's."""
        named = dict(zip(self.prior.observation_spec.parts, parts, strict=True))
        features = self.prior.encoder(named)
        hidden = self.actor.latent_pi(features.flatten(1))
        u = torch.tanh(self.actor.mu(hidden)).clamp(-EDGE, EDGE)
        actions = self.prior._decode(_stretched(self.chart, u), features)
        return torch.minimum(torch.maximum(actions, self.low), self.high)  # type: ignore[arg-type]


def _stretched(chart: Chart, u: Tensor) -> Tensor:
    """The chart's `to_latent` in operations that ONNX has."""
    if isinstance(chart, BoxChart):
        return chart.half_width * u
    assert isinstance(chart, QuantileChart)  # `_driven` saw to it
    return chart.scale * math.sqrt(2.0) * _erfinv(chart.share * u)


def _erfinv(x: Tensor) -> Tensor:
    """By polynomials to float32's accuracy (Giles 2010, "Approximating the erfinv function")."""
    w = -torch.log((1.0 - x) * (1.0 + x))
    centre, tail = w - 2.5, torch.sqrt(w.clamp(min=5.0)) - 3.0
    return x * torch.where(w < 5.0, _polynomial(_CENTRE, centre), _polynomial(_TAIL, tail))


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
