"""The band of a periodic box against known waves."""

import pytest
import torch

from flowsci.domains.weather.band import Band
from flowsci.domains.weather.noise import IsotropicGaussian
from flowsci.domains.weather.waves import PlaneTransform
from tests.domains.weather.models import BOX

TRANSFORM = PlaneTransform(16, 16, 5)


def wave(along_y, along_x):
    angle = torch.arange(16) * 2 * torch.pi / 16
    return torch.cos(along_y * angle[:, None] + along_x * angle[None] + 0.3)


def test_a_wave_has_its_power_in_its_degree_and_none_beyond_the_band():
    fields = torch.stack([3 * wave(3, -4), wave(0, 2), wave(6, 1), 1 + wave(-5, 5)])
    power = TRANSFORM.power(fields)
    assert power.shape == (4, TRANSFORM.l_max + 1)
    wanted = torch.zeros_like(power)
    wanted[0, 5], wanted[1, 2], wanted[3, 0], wanted[3, 7] = 4.5, 0.5, 1, 0.5
    torch.testing.assert_close(power, wanted, rtol=0, atol=1e-5)
    projected = TRANSFORM.project(fields)
    torch.testing.assert_close(projected[[0, 1, 3]], fields[[0, 1, 3]], rtol=0, atol=1e-5)
    assert projected[2].abs().max() < 1e-5


def test_degrees_are_multiplied_by_their_factors_and_the_rest_is_taken_out():
    fields = torch.stack([3 * wave(3, -4), wave(6, 1), wave(0, 2)])
    factors = torch.arange(TRANSFORM.l_max + 1.0)
    scaled = TRANSFORM.scaled(fields, factors)
    wanted = torch.stack([15 * wave(3, -4), 0 * wave(6, 1), 2 * wave(0, 2)])
    torch.testing.assert_close(scaled, wanted, rtol=0, atol=1e-4)


def test_power_sums_to_the_mean_square_of_what_is_projected():
    fields = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    square = TRANSFORM.project(fields).square().mean((-2, -1))
    torch.testing.assert_close(TRANSFORM.power(fields).sum(-1), square)


@pytest.mark.parametrize("matched", [False, True])
def test_noise_in_a_box_has_its_spectrum_and_mean_square_one(matched):
    power = torch.rand(2, TRANSFORM.l_max + 1, generator=torch.Generator().manual_seed(0)) + 0.1
    power /= power.sum(1, keepdim=True)
    source = IsotropicGaussian(TRANSFORM, 0.7, power[None] if matched else None)
    like = torch.zeros(3000, 2, 16, 16)
    found = TRANSFORM.power(source.sample(like, torch.Generator().manual_seed(1))).mean(0) / 0.49
    white = TRANSFORM.count / TRANSFORM.count.sum()
    wanted = power if matched else white.expand(2, -1)
    torch.testing.assert_close(found, wanted, rtol=0.12, atol=0)


def test_the_band_of_a_box_treats_winds_as_any_field():
    fields = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Band(BOX).project(fields), TRANSFORM.project(fields))
    assert Band(BOX | {"truncation": None}).project(fields) is fields
