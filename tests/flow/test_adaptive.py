import pytest
import torch
from laws import DOUBLE, gaussian, line_mixture, line_quantile, normals

from flowsci.errors import FlowsciError
from flowsci.flow import (
    Linear,
    NetworkField,
    Trigonometric,
    Tsit5,
    Tsitouras5,
    VariancePreserving,
    solve,
)
from flowsci.flow.adaptive import ERROR_WEIGHTS
from flowsci.flow.grids import uniform


@pytest.mark.parametrize("path", [Linear(), Trigonometric(), VariancePreserving()])
@pytest.mark.parametrize("relative", [1e-4, 1e-7])
def test_the_error_follows_the_tolerance(path, relative):
    field, x = gaussian(path), normals(30)
    start, end = torch.zeros(30, dtype=DOUBLE), torch.ones(30, dtype=DOUBLE)
    found = solve(field, x, uniform(1), Tsit5(relative, relative))
    assert (found - field.transport(x, start, end)).abs().max() < 30 * relative


def test_the_quantiles_of_a_mixture_are_kept():
    field, x = line_mixture(), torch.linspace(-2.5, 2.5, 41, dtype=DOUBLE)[:, None]
    found = solve(field, x, uniform(1), Tsit5(1e-8, 1e-8))
    quantiles = line_quantile(field, found) - torch.special.ndtr(x[:, 0])
    assert quantiles.abs().max() < 1e-6


def test_the_way_back_returns_to_the_start():
    field, x = gaussian(), normals(10)
    method = Tsit5(1e-8, 1e-8)
    there = solve(field, x, uniform(1), method)
    torch.testing.assert_close(solve(field, there, uniform(1).flip(0), method), x)


def test_each_sample_has_its_own_steps():
    rates = torch.tensor([1.0, 40.0], dtype=DOUBLE)
    times = []

    def network(x, t, condition):
        times.append(t)
        return -rates[:, None] * (x - torch.sin(rates * t)[:, None])

    solve(NetworkField(network, Linear()), normals(2), uniform(1), Tsit5())
    seen = torch.stack(times)
    easy, hard = (len(seen[:, row].unique()) for row in range(2))
    assert hard > 3 * easy


def test_the_embedded_method_is_of_fourth_order():
    nodes = (*Tsitouras5.nodes, 1.0)
    for power in range(4):
        moment = sum(
            weight * node**power for weight, node in zip(ERROR_WEIGHTS, nodes, strict=True)
        )
        assert moment == pytest.approx(0, abs=1e-12)
    fifth = sum(weight * node**4 for weight, node in zip(ERROR_WEIGHTS, nodes, strict=True))
    assert abs(fifth) > 1e-5


def test_padding_does_not_change_the_steps():
    x = normals(4)
    padded = torch.nn.functional.pad(x, (0, 5))
    field = NetworkField(lambda x, t, c: torch.sin(5 * x), Linear())
    assert torch.equal(
        solve(field, padded, uniform(1), Tsit5())[:, :2], solve(field, x, uniform(1), Tsit5())
    )


def test_too_many_steps_raise_and_say_who_is_left():
    with pytest.raises(FlowsciError, match="3 of 3 samples did not arrive in 2 steps"):
        solve(gaussian(), normals(3), uniform(1), Tsit5(1e-10, 1e-10, max_steps=2))


def test_nan_names_the_sample_and_the_time():
    def network(x, t, condition):
        return torch.where((t > 0.5)[:, None] & (torch.arange(3) == 1)[:, None], torch.nan, x)

    with pytest.raises(FlowsciError, match=r"sample 1 of 3 .* t = 0\."):
        solve(NetworkField(network, Linear()), normals(3), uniform(1), Tsit5())


def test_tolerances_are_positive():
    with pytest.raises(FlowsciError, match="relative"):
        Tsit5(0.0)
