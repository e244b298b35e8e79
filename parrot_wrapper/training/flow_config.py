"""A flow prior's config from the data that it is to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parrot_wrapper.data.dataset import EpisodeDataset
from parrot_wrapper.priors.config import FlowPriorConfig
from parrot_wrapper.priors.encoders import ENCODERS
from parrot_wrapper.types import PARTS


def flow_config(
    dataset: EpisodeDataset,
    *,
    encoder: str = "auto",
    encoder_options: Mapping[str, Any] | None = None,
    proprio: bool = True,
    state: bool = True,
    **sizes: Any,
) -> FlowPriorConfig:
    """The config of a `FlowPrior` that fits `dataset`: its observations, actions and action box.

    The prior looks at all parts of the data that the encoder reads.

    Args:
        dataset: What the prior will learn from.
        encoder: Name of the observation encoder; "auto" is "structured" for images and "state"
            without.
        encoder_options: Options of the encoder.
        proprio: Look at proprioception too, where the data have it.
        state: The same for the state vector. Beside an image it may hold what only a simulator
            knows; the env has to supply all that the prior looks at.
        **sizes: Further fields of `FlowPriorConfig`, such as `hidden`.

    Raises:
        InvalidArgumentError: A value is outside its range.

    Example:
        >>> data = EpisodeDataset.from_arrays([[0.0], [0.1]], [[0.2, 0.3]], [1])
        >>> config = flow_config(data, hidden=32)
        >>> config.encoder, config.action_dim, config.hidden
        ('state', 2, 32)
    """
    spec = dataset.observation_spec
    left_out = [part for part, wanted in (("proprio", proprio), ("state", state)) if not wanted]
    named = ("state" if spec.image is None else "structured") if encoder == "auto" else encoder
    if named in ENCODERS:
        left_out += [part for part in PARTS if part not in ENCODERS[named].reads]
    nothing: dict[str, Any] = {"image": None, "proprio": 0, "state": 0}
    spec = replace(spec, **{part: nothing[part] for part in left_out})
    low, high = dataset.action_bounds
    return FlowPriorConfig(
        observation=spec,
        action_dim=dataset.action_dim,
        encoder=named,
        encoder_options=encoder_options or {},
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
        **sizes,
    )
