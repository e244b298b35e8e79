"""Spline couplings and learned mixing: zuko is the oracle, and bijections are exact."""

import numpy as np
import pytest
import torch

from parrot_wrapper.priors.coupling import CouplingStack, LinearMixing
from parrot_wrapper.priors.folded_couplings import folded_couplings
from parrot_wrapper.priors.splines import rational_quadratic, spline_inverse
from tests.priors.test_flow import shaken


def drawn(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bins", [2, 8])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_zuko_has_the_same_splines(bins, scale):
    zuko = pytest.importorskip("zuko")
    raw = drawn(400, 3 * bins - 1, scale=scale)
    x = drawn(400, seed=1, scale=2.0)  # some beyond the bound
    parts = raw.split((bins, bins, bins - 1), dim=-1)
    theirs = zuko.transforms.MonotonicRQSTransform(*parts, bound=3.0)
    y, log_slope = rational_quadratic(x, raw, bound=3.0)
    expected, expected_slope = theirs.call_and_ladj(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(log_slope, expected_slope)
    back, log_back = rational_quadratic(expected, raw, bound=3.0, inverse=True)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-6)
    torch.testing.assert_close(log_back, -expected_slope, rtol=0, atol=1e-5)
    plain = spline_inverse(expected.numpy()[:, None], raw.numpy()[:, None], bound=3.0)
    np.testing.assert_allclose(plain[:, 0], x, rtol=0, atol=1e-6)
    if not scale:
        torch.testing.assert_close(y, x)


def test_at_the_edges_and_beyond_nothing_breaks():
    """In float32, with gradients, at knots, at the bound and far away."""
    raw = drawn(9, 23, scale=3.0).float().requires_grad_()
    x = torch.tensor([-1e30, -5.0, -4.9999995, -1e-30, 0.0, 2.5, 4.9999995, 5.0, 1e30])
    x.requires_grad_()
    for inverse in (False, True):
        y, log_slope = rational_quadratic(x, raw, bound=5.0, inverse=inverse)
        (y.clamp(-9, 9).sum() + log_slope.sum()).backward()
        assert y.isfinite().all() and log_slope.isfinite().all()
        assert x.grad.isfinite().all() and raw.grad.isfinite().all()
        outside = x.abs() >= 5.0
        assert torch.equal(y[outside], x[outside])
    plain = spline_inverse(x.detach().numpy()[:, None], raw.detach().numpy()[:, None], bound=5.0)
    np.testing.assert_allclose(plain[:, 0], y.detach(), rtol=0, atol=1e-5)


def test_mixing_is_linear_and_exact():
    mixing = shaken(LinearMixing(5).double())
    x = drawn(7, 5)
    z, log_det = mixing.encode(x)
    torch.testing.assert_close(mixing.decode(z), x)
    matrix = torch.autograd.functional.jacobian(lambda a: mixing.encode(a[None])[0][0], x[0])
    torch.testing.assert_close(z, x @ matrix.T)
    torch.testing.assert_close(matrix.slogdet()[1], log_det)
    assert (matrix.abs() > 1e-3).sum() > 5  # more than a permutation


@pytest.mark.parametrize("mixing", [False, True])
@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_a_new_stack_only_reorders(coupling, mixing):
    stack = CouplingStack(6, context_dim=2, coupling=coupling, mixing=mixing).double()
    x, context = drawn(4, 6, scale=2.0), drawn(4, 2)
    z, log_det = stack.encode(x, context)
    torch.testing.assert_close(z.sort(dim=1).values, x.sort(dim=1).values)
    torch.testing.assert_close(log_det, torch.zeros(4, dtype=torch.float64))
    assert mixing or torch.allclose(z, x)
    assert (folded_couplings(stack) is None) == mixing
