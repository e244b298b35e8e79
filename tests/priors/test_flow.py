"""The flow: bijection, density, gradients, smoothness of its NumPy boundary."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parrot_wrapper.priors import FlowPrior, FlowPriorConfig
from parrot_wrapper.priors.coupling import CouplingStack
from parrot_wrapper.priors.flow import PAPER_SIZES
from parrot_wrapper.types import ActionPrior, ObservationSpec


def shaken(module: torch.nn.Module, *, seed: int = 0, scale: float = 0.3) -> torch.nn.Module:
    """A new flow is the identity; give its weights values that a trained one could have."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += (scale * noise).to(parameter.dtype)
    return module


def state_prior(action_dim: int = 3, **options) -> FlowPrior:
    config = FlowPriorConfig(
        ObservationSpec(state=4),
        action_dim,
        "state",
        **{"hidden": 16, "trunk_width": 16, **options},
    )
    prior = FlowPrior(config)
    shaken(prior.flow)
    prior.set_action_scale(torch.full((action_dim,), 0.2), torch.full((action_dim,), 0.4))
    return prior


def image_prior() -> FlowPrior:
    spec = ObservationSpec(image=(8, 12, 3), proprio=2)
    options = {"channels": 4, "hidden": 8, "embedding": 6}
    return FlowPrior(FlowPriorConfig(spec, 3, "convolutional", options, hidden=16))


@pytest.mark.parametrize("dim", range(1, 9))
@pytest.mark.parametrize("sizes", [{}, {**PAPER_SIZES, "hidden": 16}], ids=["default", "paper"])
def test_every_flow(dim, sizes, tmp_path):
    """Shapes, gradients to every parameter, Jacobian, inversion, save and load; in float64."""
    prior = state_prior(dim, **sizes).double()
    generator = torch.Generator().manual_seed(1)
    action = torch.randn(5, dim, generator=generator, dtype=torch.float64)
    context = torch.randn(5, 4, generator=generator, dtype=torch.float64)

    log_prob = prior.log_prob_tensor(action, context)
    assert log_prob.shape == (5,)
    log_prob.sum().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name

    z, log_det = prior.encode_tensor(action, context)
    torch.testing.assert_close(prior.decode_tensor(z, context), action)
    for row in range(5):
        jacobian = torch.autograd.functional.jacobian(
            lambda a, row=row: prior.encode_tensor(a[None], context[row : row + 1])[0][0],
            action[row],
        )
        torch.testing.assert_close(jacobian.slogdet()[1], log_det[row])
    base = -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)
    torch.testing.assert_close(log_prob, base + log_det)

    prior.float().save(tmp_path / "prior")
    from parrot_wrapper.priors import load_prior

    states, actions = context.float().numpy(), action.float().numpy()
    again = load_prior(tmp_path / "prior")
    np.testing.assert_array_equal(prior.log_prob(actions, states), again.log_prob(actions, states))
    assert f"action ({dim},)" in repr(again)


@pytest.mark.parametrize(
    "dim", [1, 2]
)  # beyond, importance sampling is too noisy; the Jacobian is tested
def test_density_integrates_to_one(dim):
    prior = state_prior(dim).double()
    generator = torch.Generator().manual_seed(2)
    context = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    # importance sampling from a wide normal around the flow's own samples
    samples = prior.decode_tensor(
        torch.randn(20_000, dim, generator=generator, dtype=torch.float64),
        context.expand(20_000, -1),
    ).detach()
    proposal = torch.distributions.MultivariateNormal(
        samples.mean(0), 1.5 * torch.cov(samples.T).reshape(dim, dim)
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        draws = proposal.sample((40_000,))
    weights = prior.log_prob_tensor(draws, context.expand(40_000, -1)) - proposal.log_prob(draws)
    assert weights.exp().mean().item() == pytest.approx(1.0, abs=0.1)


@settings(max_examples=30, deadline=None)
@given(
    dim=st.integers(1, 8),
    layers=st.integers(2, 6),
    seed=st.integers(0, 1000),
    size=st.floats(0.01, 5.0),
)
def test_decode_inverts_encode(dim, layers, seed, size):
    stack = shaken(CouplingStack(dim, context_dim=3, layers=layers, hidden=8).double(), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    x = size * torch.randn(4, dim, generator=generator, dtype=torch.float64)
    context = size * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    z, _ = stack.encode(x, context)
    torch.testing.assert_close(stack.decode(z, context), x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("magnitude", [1e-6, 1.0, 1e3, 1e6])
def test_float32_stays_finite(magnitude):
    prior = state_prior(7)
    rng = np.random.default_rng(0)
    state = (magnitude * rng.standard_normal((64, 4))).astype(np.float32)
    z = (min(magnitude, 6.0) * rng.standard_normal((64, 7))).astype(np.float32)
    action = prior.decode(z, state)
    assert np.isfinite(action).all()
    assert np.isfinite(prior.encode(action, state)).all()
    far = (magnitude * rng.standard_normal((64, 7))).astype(np.float32)
    assert np.isfinite(prior.log_prob(far, state)).all()


def test_numpy_boundary():
    prior = image_prior()
    rng = np.random.default_rng(0)
    obs = {
        "image": rng.integers(0, 256, (600, 8, 12, 3), dtype=np.uint8),
        "proprio": rng.standard_normal((600, 2), dtype=np.float32),
        "ignored": np.zeros(3),
    }
    z = rng.standard_normal((600, 3), dtype=np.float32)
    assert isinstance(prior, ActionPrior)
    assert (prior.latent_dim, prior.action_dim, prior.horizon, prior.feature_dim) == (3, 3, 1, 6)
    features = prior.features(obs)
    assert features.shape == (600, 6)
    assert features.dtype == np.float32
    action = prior.decode(z, obs)
    assert action.dtype == np.float32
    np.testing.assert_array_equal(action, prior.decode_features(z, features))
    np.testing.assert_array_equal(
        prior.encode(action, obs), prior.encode_features(action, features)
    )
    np.testing.assert_allclose(prior.encode(action, obs), z, atol=1e-4)
    low, high = prior.action_bounds
    np.testing.assert_array_equal(low, [-1, -1, -1])
    np.testing.assert_array_equal(high, [1, 1, 1])


def test_reading_a_prior_leaves_its_mode_and_gradients_alone():
    prior = state_prior().train()
    action = prior.decode(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32))
    assert prior.training
    action[:] = 0  # the caller owns what it gets
    prior.log_prob_tensor(torch.zeros(2, 3), torch.zeros(2, 4)).sum().backward()
    assert all(p.grad is not None for p in prior.parameters())


def test_weights_depend_on_the_seed_only():
    config = FlowPriorConfig(ObservationSpec(state=4), 3, "state", hidden=8)
    before = torch.get_rng_state()
    first, second, other = FlowPrior(config), FlowPrior(config), FlowPrior(config, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    weights = [next(iter(prior.flow.parameters())) for prior in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


SPEC = ObservationSpec(image=(48, 48, 3), proprio=8)


@settings(max_examples=30, deadline=None)
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
