"""The prior's config: ranges, and exactness through JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrot_wrapper.errors import InvalidArgumentError, UnknownNameError
from parrot_wrapper.priors import FlowPriorConfig
from parrot_wrapper.types import ObservationSpec

SPEC = ObservationSpec(image=(48, 48, 3), proprio=8)


@given(
    bound=st.floats(1e-3, 100, allow_nan=False),
    low=st.floats(-10, -0.1),
    options=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_json_round_trip_is_exact(bound, low, options):
    config = FlowPriorConfig(
        SPEC,
        action_dim=2,
        encoder_options=options,
        log_scale_bound=bound,
        action_low=(low, -1),
        action_high=(1, 2),
    )
    assert FlowPriorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_options_become_plain_json():
    config = FlowPriorConfig(SPEC, 2, encoder_options={"widths": (1, 2)})
    assert config.encoder_options == {"widths": [1, 2]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"action_dim": 0}, "action_dim must be an integer of at least 1, got 0"),
        ({"action_dim": 2.0}, "action_dim must be an integer"),
        ({"coupling_layers": 1}, "coupling_layers must be an integer of at least 2"),
        ({"hidden": True}, "hidden must be an integer"),
        ({"log_scale_bound": 0.0}, "log_scale_bound must be positive"),
        ({"log_scale_bound": float("inf")}, "log_scale_bound must be positive and finite"),
        ({"action_low": (-1,)}, "must have length 2"),
        ({"action_low": (-1, 1), "action_high": (1, 1)}, r"\[1.0, 1.0\] in dimension 1"),
        ({"action_high": (1, float("inf"))}, "RescaleAction"),
        ({"encoder_options": {"a": object()}}, "JSON-able"),
        ({"observation": ObservationSpec()}, "observation is empty"),
        ({"observation": ObservationSpec(image=(48, 48))}, r"\(H, W, C\)"),
        ({"observation": ObservationSpec(state=-1)}, "observation.state"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(InvalidArgumentError, match=message):
        FlowPriorConfig(**{"observation": SPEC, "action_dim": 2, **values})


def test_unknown_and_missing_keys():
    content = FlowPriorConfig(SPEC, 2).to_dict()
    with pytest.raises(UnknownNameError, match=r"'hiden'. Did you mean 'hidden'"):
        FlowPriorConfig.from_dict({**content, "hiden": 3})
    with pytest.raises(UnknownNameError, match="observation key 'images'"):
        FlowPriorConfig.from_dict({**content, "observation": {"images": None}})
    with pytest.raises(InvalidArgumentError, match="must be a mapping"):
        FlowPriorConfig.from_dict({**content, "observation": 3})
    del content["action_dim"]
    with pytest.raises(InvalidArgumentError, match=r"lacks the key.* action_dim"):
        FlowPriorConfig.from_dict(content)
    with pytest.raises(InvalidArgumentError, match="action_low must be a tuple of numbers, got 3"):
        FlowPriorConfig.from_dict({**content, "action_dim": 2, "action_low": 3})
