import pytest
import torch
from torch import nn

from flowsci.training.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonal, split


def test_singular_values_come_near_one_and_directions_stay():
    matrices = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    overlap = torch.einsum("bij,bij->b", found, left @ right) / values.sum(1)
    assert (overlap > 0.98).all()
    assert torch.allclose(orthogonal(matrices.mT), found.mT, atol=1e-5)


@pytest.mark.parametrize("columns", [24, 200])
def test_singular_values_follow_the_scalar_iteration(columns):
    matrices = torch.randn(2, 24, columns, generator=torch.Generator().manual_seed(0))
    matrices *= torch.logspace(0, -4, 24)[:, None]
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values /= values.square().sum(1, keepdim=True).sqrt()
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    expected = left * values.unsqueeze(1) @ right
    assert torch.allclose(orthogonal(matrices).double(), expected, atol=1e-4)


@pytest.mark.parametrize("columns", [96, 300])
def test_bfloat16_moves_singular_values_by_a_hundredth_and_leaves_the_dtype(columns):
    matrices = torch.randn(2, 96, columns, generator=torch.Generator().manual_seed(0))
    exact, found = orthogonal(matrices), orthogonal(matrices, in_bfloat16=True)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    assert (found - exact).norm() < 0.02 * exact.norm()
    values = (torch.linalg.svdvals(part) for part in (found, exact))
    assert torch.allclose(*values, atol=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(24, 30), (96, 600)])
def test_small_and_very_wide_matrices_are_never_in_bfloat16(rows, columns):
    matrices = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(0))
    assert torch.equal(orthogonal(matrices, in_bfloat16=True), orthogonal(matrices))


def test_narrow_matrices_vectors_and_tables_are_left_to_adamw():
    network = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 3), nn.LayerNorm(3))
    matrices, rest = split(network.parameters())
    assert [tuple(p.shape) for p in matrices] == [(16, 32)]
    assert len(rest) == 5


def test_a_convolution_is_the_matrix_of_all_that_an_output_sees():
    torch.manual_seed(0)
    convolution, linear = nn.Conv2d(16, 20, 3, bias=False), nn.Linear(144, 20, bias=False)
    linear.weight.data.copy_(convolution.weight.flatten(1))
    x = torch.randn(8, 16, 3, 3)
    for network, given in ((convolution, x), (linear, x.flatten(1))):
        network(given).flatten(1).square().mean().backward()
        Muon(network, 1e-2, 0.01).step()
    assert torch.allclose(convolution.weight.flatten(1), linear.weight, atol=1e-5)
    assert len(split([nn.Parameter(torch.ones(32, 1, 1)), *convolution.parameters()])[0]) == 1


def fit(optimiser, network, steps):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 32, generator=generator)
    y = torch.sin(x @ torch.randn(32, 4, generator=generator))
    for _ in range(steps):
        loss = ((network(x) - y) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 32), nn.Linear(32, 4))


def test_it_fits_and_goes_on_from_its_state():
    whole, first = net(), net()
    start = fit(Muon(net(), 0.0, 0.0), net(), 1)
    assert fit(Muon(whole, 2e-3, 0.01), whole, 60) < 0.8 * start
    optimiser = Muon(first, 2e-3, 0.01)
    fit(optimiser, first, 30)
    state = optimiser.state_dict()
    second = net()
    second.load_state_dict(first.state_dict())
    other = Muon(second, 2e-3, 0.01)
    other.load_state_dict(state)
    fit(other, second, 30)
    for one, two in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_steps_are_of_adamws_size():
    network = net()
    before = network[0].weight.detach().clone()
    fit(Muon(network, 1e-3, 0.0), network, 1)
    change = (network[0].weight - before).square().mean().sqrt().item()
    assert 0.1e-3 < change < 0.3e-3
