"""The prior's config: ranges, and exactness through JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

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
