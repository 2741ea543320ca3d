import math

import pytest
import torch
from catalogue import PLAIN_PATHS, label
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import gaussian, mixture

from flowsci.errors import FlowsciError
from flowsci.flow import (
    CentredGaussian,
    ConditionPlusNoise,
    EulerMaruyama,
    ExactDivergence,
    Gaussian,
    GaussianField,
    Heun,
    Hutchinson,
    LastStep,
    Likelihood,
    Linear,
    Midpoint,
    NetworkField,
    RungeKutta4,
    StudentT,
    Tsit5,
    Tsitouras5,
    bits_per_dimension,
    sample_generators,
)
from flowsci.flow.grids import shifted, uniform

DOUBLE = torch.float64
ONE = torch.ones(50, dtype=DOUBLE)


def data(field, count=50):
    return field.sample(count, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        (RungeKutta4(), 40),
        (Tsitouras5(), 20),
        (Tsit5(1e-7, 1e-8), 1),
        (Heun(), 300),
        (Midpoint(), 300),
        (LastStep(Midpoint(), RungeKutta4()), 300),
    ],
    ids=label,
)
def test_the_density_of_a_gaussian(method, steps):
    field = gaussian()
    x = data(field)
    with torch.no_grad():
        found = Likelihood(field, method=method, grid=uniform(steps)).log_density(x)
    assert float((found - field.log_density(x, ONE)).abs().max()) < 1e-4


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=label)
def test_the_density_on_every_path_from_any_width(path):
    field = gaussian(path, source_std=1.5)
    x = data(field)
    with torch.no_grad():
        found = Likelihood(field, Gaussian(1.5), method=Tsit5(1e-7, 1e-8)).log_density(x)
    assert float((found - field.log_density(x, ONE)).abs().max()) < 1e-4


def test_the_density_of_a_mixture():
    field = mixture()
    x = data(field)
    with torch.no_grad():
        found = Likelihood(field, grid=shifted(80, 0.5)).log_density(x)
    assert float((found - field.log_density(x, ONE)).abs().max()) < 1e-4


def test_hutchinson_finds_the_density_of_a_mixture_to_monte_carlo_error():
    field = mixture()
    x, times = data(field, 3), 400
    model = Likelihood(field, divergence=Hutchinson(2), grid=uniform(20))
    with torch.no_grad():
        many = x.repeat(times, 1)
        found = model.log_density(many, generators=torch.Generator().manual_seed(0))
        exact = Likelihood(field, grid=uniform(20)).log_density(x)
    found = found.reshape(times, 3)
    assert bool(((found.mean(0) - exact).abs() < 4 * found.std(0) / times**0.5).all())
    assert bool((found.std(0) > 0.01).all())


def test_samples_come_with_the_density_that_they_are_found_to_have():
    model = Likelihood(mixture(), grid=uniform(80))
    with torch.no_grad():
        drawn = model.sample(torch.zeros(40, 2, dtype=DOUBLE), sample_generators(0, range(40)))
        again = model.encode(drawn.state)
        forth = model.decode(again.state)
    torch.testing.assert_close(drawn.log_density, again.log_density, atol=1e-3, rtol=0)
    torch.testing.assert_close(forth.state, drawn.state, atol=1e-4, rtol=0)
    truth = mixture().log_density(drawn.state, torch.ones(40, dtype=DOUBLE))
    torch.testing.assert_close(drawn.log_density, truth, atol=1e-3, rtol=0)


def test_a_conditional_source_and_a_heavy_tailed_one_bring_their_density():
    still = NetworkField(lambda x, t, condition: 0 * x, Linear())
    x = torch.randn(6, 3, dtype=DOUBLE)
    near = ConditionPlusNoise(0.5)
    found = Likelihood(still, near, grid=uniform(1)).log_density(x, condition=x + 0.1)
    wanted = torch.distributions.Normal(0.0, 0.5).log_prob(torch.tensor(0.1)) * 3
    torch.testing.assert_close(found, wanted.double().expand(6))
    heavy = StudentT(4.0, 2.0)
    found = Likelihood(still, heavy, grid=uniform(1)).log_density(x[:, :1])
    wanted = torch.distributions.StudentT(4.0, 0.0, 2.0).log_prob(x[:, 0])
    torch.testing.assert_close(found, wanted)


def test_the_multivariate_student_density_sums_to_one():
    axis = torch.linspace(-60, 60, 1201, dtype=DOUBLE)
    points = torch.cartesian_prod(axis, axis)
    total = StudentT(5.0, 1.3).log_density(points).exp().sum() * 0.1**2
    assert float(total) == pytest.approx(1, abs=2e-3)


class Interacting(torch.nn.Module):
    """Entries `(batch, n, d)` that move by their own state and by the mean of all."""

    def __init__(self, features: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(features)
        self.matrix = torch.nn.Parameter(
            torch.randn(features, features, generator=generator, dtype=DOUBLE)
        )

    def forward(self, x, t, condition):
        mean = x.mean(1, keepdim=True)
        return torch.tanh(x @ self.matrix) + mean**2 + t[:, None, None] + 1


ragged = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def padded(sizes, features, source):
    mask = torch.arange(max(sizes) + 1)[None] < torch.tensor(sizes)[:, None]
    shape = (len(sizes), max(sizes) + 1, features)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=DOUBLE)
    return source.project(values, mask), mask


@settings(deadline=None, max_examples=15)
@given(sizes=ragged, features=st.integers(1, 3), centred=st.booleans())
def test_padding_changes_nothing(sizes, features, centred):
    source = CentredGaussian() if centred else Gaussian()
    sizes = [size + 1 for size in sizes] if centred else sizes
    x, mask = padded(sizes, features, source)

    network = Interacting(features)

    def field(x, t, condition):
        count = condition.to(x)[:, None, None]
        value = torch.tanh(x @ network.matrix) + (x.sum(1, keepdim=True) / count) ** 2 + 1
        return NetworkField(lambda *_: value, Linear())(x, t)

    model = Likelihood(field, source, grid=uniform(3))
    found = model.log_density(x, mask=mask, condition=torch.tensor(sizes))
    for row, size in enumerate(sizes):
        alone = model.log_density(x[row : row + 1, :size], condition=torch.tensor([size]))
        torch.testing.assert_close(found[row : row + 1], alone)


def test_the_density_without_a_centre_of_mass_is_the_subspaces():
    std, n, d = 0.6, 4, 3
    still = GaussianField(torch.zeros(n, d, dtype=DOUBLE), torch.full((n, d), std, dtype=DOUBLE))

    def field(x, t, condition=None):
        value = still(x, t).velocity + 3 * x.mean(1, keepdim=True) + 2
        return NetworkField(lambda *_: value, Linear())(x, t)

    source = CentredGaussian()
    x = source.project(std * torch.randn(20, n, d, dtype=DOUBLE))
    with torch.no_grad():
        found = Likelihood(field, source).log_density(x)
    free = (n - 1) * d
    wanted = -0.5 * (x**2).sum((1, 2)) / std**2 - free / 2 * math.log(2 * math.pi * std**2)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert source.dimensions(x).tolist() == [free] * 20


def test_the_gradient_of_the_density_is_the_score():
    field = mixture()
    x = data(field).requires_grad_()
    Likelihood(field, grid=uniform(60)).log_density(x).sum().backward()
    torch.testing.assert_close(x.grad, field(x, ONE).score, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("divergence", [ExactDivergence(), Hutchinson(2)], ids=label)
def test_gradients_reach_the_network(divergence):
    network = Interacting(2)
    x = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    model = Likelihood(NetworkField(network, Linear()), divergence=divergence, grid=uniform(4))

    def loss():
        return -model.log_density(x, generators=torch.Generator().manual_seed(1)).mean()

    loss().backward()
    found = network.matrix.grad[0, 1]
    with torch.no_grad():
        network.matrix[0, 1] += 1e-5
        above = loss()
        network.matrix[0, 1] -= 2e-5
        below = loss()
    assert float(found) == pytest.approx(float(above - below) / 2e-5, rel=1e-5)


def test_without_gradients_no_graph_is_kept():
    network = Interacting(2)
    model = Likelihood(NetworkField(network, Linear()), grid=uniform(3))
    x = torch.randn(3, 2, 2, dtype=DOUBLE)
    with torch.no_grad():
        density = model.encode(x)
    assert not density.state.requires_grad
    assert not density.log_density.requires_grad
    torch.testing.assert_close(density.log_density, model.log_density(x).detach())


def test_probes_belong_to_samples():
    model = Likelihood(mixture(), divergence=Hutchinson(), grid=uniform(5))
    x = data(mixture(), 7)
    with torch.no_grad():
        whole = model.log_density(x, generators=sample_generators(1, range(7)))
        shards = [
            model.log_density(x[i : i + 1], generators=sample_generators(1, [i])) for i in range(7)
        ]
    torch.testing.assert_close(whole, torch.cat(shards))


def test_bits_per_dimension_of_uniform_bins():
    bits = bits_per_dimension(torch.tensor([-12 * math.log(2.0)]), 12, bin_width=2 / 256)
    assert float(bits) == pytest.approx(8)
    with pytest.raises(FlowsciError, match="bin_width"):
        bits_per_dimension(torch.zeros(1), 1, 0.0)


def test_bad_input_is_named():
    field = gaussian()
    x = data(field, 3)
    with pytest.raises(FlowsciError, match="method for ODEs"):
        Likelihood(field, method=EulerMaruyama())
    with pytest.raises(FlowsciError, match="from 0 to 1"):
        Likelihood(field, grid=uniform(4).flip(0))
    with pytest.raises(FlowsciError, match="off the support"):
        Likelihood(field, CentredGaussian()).log_density(torch.ones(2, 3, 2))
    mask = torch.tensor([[True, False]])
    with pytest.raises(FlowsciError, match="off the support"):
        Likelihood(field).log_density(torch.ones(1, 2, 2), mask=mask)
    with pytest.raises(FlowsciError, match="is random"):
        Likelihood(field, divergence=Hutchinson()).log_density(x)

    def detached(x, t, condition=None):
        return NetworkField(lambda x, t, _: x.detach(), Linear())(x, t)

    with pytest.raises(FlowsciError, match="can't be differentiated"):
        Likelihood(detached).log_density(x)
