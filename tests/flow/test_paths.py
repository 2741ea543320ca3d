import math

import pytest
import torch
from catalogue import LATENT_PATHS, PATHS, PLAIN_PATHS, name

from flowsci.errors import FlowsciError
from flowsci.flow import CustomPath, Linear, SmoothNoise, Spherical, Trigonometric, TwoSidedNoise

TIMES = torch.tensor([0.0, 1e-3, 0.2, 0.5, 0.77, 0.999, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("path", PATHS, ids=name)
def test_the_ends_are_exact(path, dtype):
    c = path(torch.tensor([0.0, 1.0], dtype=dtype))
    assert c.alpha[1] == 0
    assert c.beta[0] == 0
    assert c.gamma[1] == 0
    torch.testing.assert_close(c.alpha[0], torch.ones((), dtype=dtype))
    torch.testing.assert_close(c.beta[1], torch.ones((), dtype=dtype))
    assert c.d_alpha.isfinite().all()
    assert c.d_beta.isfinite().all()


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_derivatives_are_those_of_autograd(path):
    t = TIMES.clone().requires_grad_()
    c = path(t)
    for value, slope in ((c.alpha, c.d_alpha), (c.beta, c.d_beta), (c.gamma, c.d_gamma)):
        found = torch.zeros_like(t)
        if value.requires_grad:
            (found,) = torch.autograd.grad(value.sum(), t, retain_graph=True)
        regular = slope.detach().isfinite()
        assert regular[1:-1].all()
        torch.testing.assert_close(slope.detach()[regular], found[regular], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_the_latent_rate_is_half_the_derivative_of_the_variance(path):
    t = TIMES.clone().requires_grad_()
    rate = path.latent_rate(t)
    assert rate.isfinite().all()
    inner = TIMES[1:-1].clone().requires_grad_()
    half = 0.5 * path(inner).gamma ** 2
    if half.requires_grad:
        (found,) = torch.autograd.grad(half.sum(), inner)
        torch.testing.assert_close(rate.detach()[1:-1], found)


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_velocity_is_the_derivative_of_the_interpolant(path):
    generator = torch.Generator().manual_seed(0)
    x0, x1, z = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    t = TIMES[1:-1]

    def along(t):
        return path.interpolate(x0, x1, t, z)

    moved, slope = torch.func.jvp(along, (t,), (torch.ones_like(t),))
    torch.testing.assert_close(path.velocity(x0, x1, t, z), slope)
    assert moved.shape == x0.shape


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_coefficients_broadcast_by_sample_when_the_batch_is_as_large_as_a_dimension(path):
    generator = torch.Generator().manual_seed(0)
    x0, x1, z = torch.randn(3, 3, 3, 3, generator=generator)
    t = torch.tensor([0.1, 0.5, 0.9])
    whole = path.interpolate(x0, x1, t, z)
    speed = path.velocity(x0, x1, t, z)
    for row in range(3):
        part = slice(row, row + 1)
        one = path.interpolate(x0[part], x1[part], t[part], z[part])
        torch.testing.assert_close(whole[part], one)
        one = path.velocity(x0[part], x1[part], t[part], z[part])
        torch.testing.assert_close(speed[part], one)


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
def test_time_at_inverts_the_share(path):
    t = torch.tensor([0.0, 0.01, 0.3, 0.7, 0.99, 1.0], dtype=torch.float64)
    found = path.time_at(path(t).share)
    torch.testing.assert_close(found, t, rtol=0, atol=1e-9)
    assert found[0] == 0
    assert found[-1] == 1


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("time", [-0.01, 1.01, float("nan")])
def test_times_outside_the_unit_interval_raise(path, time):
    with pytest.raises(FlowsciError, match=r"\[0, 1\]"):
        path(torch.tensor([0.5, time]))
    with pytest.raises(FlowsciError, match=r"\[0, 1\]"):
        path.interpolate(*torch.zeros(2, 2, 3), torch.tensor([0.5, time]), torch.zeros(2, 3))


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_ends_of_two_shapes_name_both(path):
    with pytest.raises(FlowsciError, match=r"\(2, 3\) and \(2, 4\)"):
        path.interpolate(torch.ones(2, 3), torch.ones(2, 4), torch.zeros(2))


@pytest.mark.parametrize("path", LATENT_PATHS, ids=name)
def test_latent_noise_must_be_given(path):
    with pytest.raises(FlowsciError, match="latent noise"):
        path.interpolate(torch.ones(2, 3), torch.ones(2, 3), torch.zeros(2))


def test_an_infinite_rate_names_the_time():
    ends = torch.zeros(2, 2)
    with pytest.raises(FlowsciError, match=r"t = 1\.0"):
        TwoSidedNoise().velocity(ends, ends, torch.tensor([0.5, 1.0]), ends)


def test_latent_noise_is_not_put_on_twice():
    with pytest.raises(FlowsciError, match="already"):
        SmoothNoise(TwoSidedNoise())


@pytest.mark.parametrize(
    ("alpha", "beta", "gamma", "wrong"),
    [
        (lambda t: 1 - 0.9 * t, lambda t: t, None, "alpha"),
        (lambda t: 1 - t, lambda t: 0.5 + 0.5 * t, None, "beta"),
        (lambda t: 1 - t, lambda t: t, lambda t: t, "gamma"),
        (lambda t: 1 - t, torch.sqrt, None, "derivative of beta"),
    ],
)
def test_a_path_with_wrong_ends_is_refused(alpha, beta, gamma, wrong):
    with pytest.raises(FlowsciError, match=wrong):
        CustomPath(alpha, beta, gamma)


def test_a_custom_path_is_the_path_it_spells():
    spelled = CustomPath(lambda t: 1 - t, lambda t: t)
    for found, known in zip(
        (spelled(TIMES).d_alpha, spelled(TIMES).d_beta),
        (Linear()(TIMES).d_alpha, Linear()(TIMES).d_beta),
        strict=True,
    ):
        torch.testing.assert_close(found, known)


def test_a_brownian_bridge_starts_and_ends_infinitely_fast():
    d_gamma = TwoSidedNoise()(TIMES).d_gamma
    assert d_gamma[0] == torch.inf
    assert d_gamma[-1] == -torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_custom_path_that_rounds_at_its_ends_has_exact_ones(dtype):
    path = CustomPath(
        lambda t: torch.cos(math.pi / 2 * t),
        lambda t: torch.sin(math.pi / 2 * t),
        lambda t: torch.sin(math.pi * t),
    )
    c = path(torch.tensor([0.0, 1.0], dtype=dtype))
    assert torch.cos(torch.tensor(math.pi / 2, dtype=dtype)) != 0
    assert c.alpha.tolist() == [1, 0]
    assert c.beta.tolist() == [0, 1]
    assert c.gamma[1] == 0


@pytest.mark.parametrize("correlation", [0.0, 0.9, -0.4])
def test_a_spherical_path_keeps_the_energy_of_ends_with_its_correlation(correlation):
    generator = torch.Generator().manual_seed(0)
    x0, other = torch.randn(2, 200000, 1, generator=generator, dtype=torch.float64)
    x1 = correlation * x0 + math.sqrt(1 - correlation**2) * other
    path = Spherical(correlation)
    for time in (0.25, 0.5, 0.8):
        t = torch.full((len(x0),), time, dtype=x0.dtype)
        energy = path.interpolate(x0, x1, t).square().mean()
        assert float(energy) == pytest.approx(1, rel=0.01)
        # the straight path loses what the ends don't share
        straight = Linear().interpolate(x0, x1, t).square().mean()
        lost = 2 * time * (1 - time) * (1 - correlation)
        assert float(straight) == pytest.approx(1 - lost, rel=0.02)


def test_a_spherical_path_lies_between_the_quarter_circle_and_the_straight_line():
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    for path, limit in ((Spherical(), Trigonometric()), (Spherical(1 - 1e-9), Linear())):
        found, wanted = path(t), limit(t)
        torch.testing.assert_close(found.alpha, wanted.alpha, rtol=0, atol=1e-8)
        torch.testing.assert_close(found.d_beta, wanted.d_beta, rtol=0, atol=1e-8)


@pytest.mark.parametrize("correlation", [1.0, -1.0, float("nan")])
def test_a_spherical_path_needs_ends_that_differ(correlation):
    with pytest.raises(FlowsciError, match="correlation must lie between"):
        Spherical(correlation)
