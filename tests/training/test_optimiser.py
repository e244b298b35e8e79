"""The optimiser of priors: what is whose, what an update is, and that it goes on where it was."""

import copy

import pytest
import torch
from torch import nn

from parrot_wrapper.training.optimiser import Optimiser, orthogonal

RATE = 0.01


def _images(seed: int) -> torch.Tensor:
    return torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 4, 16), nn.SiLU(),
        nn.Linear(16, 2),
    )  # fmt: skip


def _step(net: nn.Module, optimiser: Optimiser, seed: int) -> dict[str, torch.Tensor]:
    """One step on random images; how each parameter moved."""
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    net(_images(seed)).square().sum().backward()
    optimiser.step(RATE)
    return {name: value.detach() - before[name] for name, value in net.named_parameters()}


@pytest.mark.parametrize("shape", [(8, 8), (12, 40), (40, 12), (64, 64)])
def test_orthogonal_matrices_have_singular_values_of_about_one(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    found = orthogonal(matrix)
    values = torch.linalg.svdvals(found)
    assert found.shape == shape
    assert values.max() < 1.3
    assert values.median() > 0.6
    # the directions stay: what is left is how long they are
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    along = left.T @ found @ right.T
    assert (along - along.diagonal().diag()).abs().max() < 1e-3
    assert along.diagonal().min() > 0


def test_muon_moves_matrices_and_kernels_and_adam_the_rest():
    net = _net()
    moved = _step(net, Optimiser(net.named_parameters(), muon=True), 0)
    adams = _net()
    expected = _step(adams, Optimiser(adams.named_parameters(), muon=False), 0)
    for name in ("0.weight", "3.weight"):
        change = moved[name].flatten(1) / RATE
        assert 0.2 < change.square().mean().sqrt() < 0.4
        values = torch.linalg.svdvals(change)
        assert values.max() < 2.0 * values.min()
        assert not torch.allclose(moved[name], expected[name], atol=1e-4)
    for name in ("0.bias", "3.bias", "5.weight", "5.bias"):  # the last has two rows
        assert torch.equal(moved[name], expected[name])


def test_without_muon_it_is_adam():
    net, theirs = _net(), _net()
    optimiser = Optimiser(net.named_parameters(), muon=False)
    adam = torch.optim.Adam(theirs.parameters(), lr=RATE)
    for seed in range(5):
        _step(net, optimiser, seed)
        adam.zero_grad()
        theirs(_images(seed)).square().sum().backward()
        adam.step()
    for mine, other in zip(net.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


@pytest.mark.parametrize("muon", [True, False])
def test_it_goes_on_exactly_where_it_was(muon):
    net = _net()
    optimiser = Optimiser(net.named_parameters(), muon=muon)
    for seed in range(3):
        _step(net, optimiser, seed)
    other = copy.deepcopy(net)
    stored = {name: value.clone() for name, value in optimiser.tensors().items()}
    again = Optimiser(other.named_parameters(), muon=muon)
    again.restore(stored)
    for seed in range(3, 6):
        _step(net, optimiser, seed)
        _step(other, again, seed)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_state_of_adam_alone_does_not_serve_muon():
    net = _net()
    optimiser = Optimiser(net.named_parameters(), muon=False)
    _step(net, optimiser, 0)
    with pytest.raises(KeyError, match="muon/"):
        Optimiser(net.named_parameters(), muon=True).restore(optimiser.tensors())


def test_what_has_no_gradient_stays():
    net = _net()
    optimiser = Optimiser(net.named_parameters(), muon=True)
    before = copy.deepcopy(net)
    net[3](torch.ones(1, 32)).sum().backward()
    optimiser.step(RATE)
    assert torch.equal(net[0].weight, before[0].weight)
    assert not torch.equal(net[3].weight, before[3].weight)
