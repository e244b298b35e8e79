"""What a prior is, in a few lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from parrot_wrapper.types import SEES_FACT

if TYPE_CHECKING:
    from parrot_wrapper.priors.encoder_prior import EncoderPrior


def described(prior: EncoderPrior) -> str:
    """Its actions, what it sees, its size, and what its metadata say of data and fit."""
    edges = [sorted({f"{edge:g}" for edge in bound}) for bound in prior.action_bounds]
    box = f"[{edges[0][0]}, {edges[1][0]}]" if max(map(len, edges)) == 1 else "a box"
    chunk = (prior.horizon,) if prior.horizon > 1 else ()
    size = sum(weights.numel() for weights in prior.parameters())
    encoder = f"a {prior.config.encoder!r} encoder with {prior.encoder.feature_dim} features"
    named = prior.metadata.get(SEES_FACT) or ()
    sees = f"{', '.join(named)} as {prior.observation_spec}" if named else prior.observation_spec
    return "\n  ".join(
        [
            f"{type(prior).__name__}: action {(*chunk, prior.action_dim)} in {box}",
            f"sees: {sees if prior.looks else 'nothing'}; {encoder}",
            f"size: {size:,} parameters",
            *_learned(prior.metadata),
        ]
    )


def _learned(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What the metadata say of the data and of the fit."""
    facts = {key: metadata.get(key) for key in ("data", "metrics")}
    data, metrics = (value if isinstance(value, dict) else {} for value in facts.values())
    if "episodes" in data:
        source = f" of {metadata['env_id']}" if "env_id" in metadata else ""
        yield f"learned from: {data['episodes']:,} episodes{source}"
    if "validation_nll" in metrics:
        yield f"NLL of held-out episodes: {metrics['validation_nll']:.2f} nats a step"
