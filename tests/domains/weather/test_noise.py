"""Sources of fields against their closed forms."""

import numpy as np
import pytest
import torch

from flowsci.domains.weather.grids import gauss_latitudes
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.network import Residuals
from flowsci.domains.weather.noise import ChannelStudentT, IsotropicGaussian, White, source_of
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators

TRANSFORM = SphericalTransform(gauss_latitudes(16)[0], np.arange(32) * 11.25, 10)


def test_isotropic_noise_is_alike_everywhere_and_in_every_harmonic():
    source = IsotropicGaussian(TRANSFORM, 0.7)
    fields = source.sample(torch.zeros(400, 3, 16, 32), sample_generators(0, range(400)))
    by_row = fields.var((0, 1, 3)).sqrt()
    assert by_row.min() == pytest.approx(0.7, rel=0.05)
    assert by_row.max() == pytest.approx(0.7, rel=0.05)
    power = TRANSFORM.power(fields).mean((0, 1)) / (2 * torch.arange(11) + 1)
    torch.testing.assert_close(power / power.mean(), torch.ones(11), rtol=0.12, atol=0)
    torch.testing.assert_close(TRANSFORM.project(fields), fields, rtol=0, atol=1e-5)


def test_matched_noise_has_the_spectrum_of_each_channel():
    power = torch.rand(3, 11, generator=torch.Generator().manual_seed(0)) + 0.1
    power /= power.sum(1, keepdim=True)
    source = IsotropicGaussian(TRANSFORM, 1.0, power[None])
    fields = source.sample(torch.zeros(2000, 3, 16, 32), torch.Generator().manual_seed(1))
    torch.testing.assert_close(TRANSFORM.power(fields).mean(0), power, rtol=0.12, atol=0)


@pytest.mark.parametrize("source", [IsotropicGaussian(TRANSFORM), White(0.5)])
def test_fields_are_linear_in_their_latents(source):
    shape = (2, 3, 16, 32)
    a, b = torch.randn(2, *source.latent_shape(shape), generator=torch.Generator().manual_seed(0))
    assert source.place(a).shape == shape
    torch.testing.assert_close(
        source.place(2 * a - b), 2 * source.place(a) - source.place(b), rtol=1e-4, atol=1e-5
    )


def test_tails_are_fitted_to_moments_and_drawn():
    degrees = torch.tensor([6.0, 9.0])
    kurtosis = 3 + 6 / (degrees - 4)
    source = ChannelStudentT.of_moments(
        torch.tensor([[4.0, 1.0]]), kurtosis * torch.tensor([[16.0, 1.0]])
    )
    torch.testing.assert_close(source.degrees[0], degrees)
    generator = torch.Generator().manual_seed(3)
    drawn = source.sample(torch.zeros(200000, 2, 1, 2), generator)
    torch.testing.assert_close(drawn.var((0, 2, 3)), torch.ones(2), rtol=0.03, atol=0)
    tail = (drawn.abs() > 4).float().mean((0, 2, 3))
    # P(|T| > 4 sqrt(nu / (nu - 2))) from the law itself
    from scipy.stats import t

    wanted = [2 * t.sf(4 * (d / (d - 2)) ** 0.5, d) for d in degrees.tolist()]
    assert tail.tolist() == pytest.approx(wanted, rel=0.1)


def test_noise_without_a_sphere_is_refused():
    with pytest.raises(FlowsciError, match="isotropic"):
        source_of("isotropic", 1.0, None, Residuals(3, 8, 0))
