"""Waves have their power at their own wavenumber, and nowhere else."""

import numpy as np

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.spectra import (
    PlaneSpectrum,
    RegionSpectrum,
    bands,
    effective_resolution,
    spectrum_of,
)

from .judged import COLUMNS, ROWS, make_prepared


def test_the_sphere_has_the_power_of_a_harmonic_at_its_degree():
    statistics = make_prepared().statistics
    spectrum = spectrum_of(Grid.of(statistics), statistics)
    latitude, longitude = np.meshgrid(
        np.radians(statistics["latitude"]), np.radians(statistics["longitude"]), indexing="ij"
    )
    field = np.cos(latitude) ** 3 * np.cos(3 * longitude)
    zonal = np.cos(latitude)
    power = spectrum.power(np.stack([field, zonal, field]))
    assert power.shape == (3, ROWS - 1)
    # the mean square of cos^3(latitude) cos(3 longitude) over the sphere
    np.testing.assert_allclose(power[0], np.where(spectrum.wavenumbers == 3, 8 / 35, 0), atol=1e-6)
    # a wind is multiplied by the cosine of latitude, which then has degrees 0 and 2 only
    expected = np.where(spectrum.wavenumbers == 2, 4 / 45, 0)
    np.testing.assert_allclose(power[1], expected, atol=1e-6)


def test_the_power_of_all_wavenumbers_is_the_variance():
    generator = np.random.default_rng(0)
    fields = generator.standard_normal((5, 32, 32))
    for spectrum in (
        PlaneSpectrum(Grid.periodic(32, 32), 15),
        RegionSpectrum(Grid.from_coordinates(np.arange(32.0), np.arange(32.0))),
    ):
        smooth = np.stack([_smoothed(field) for field in fields])
        variance = smooth.var(axis=(1, 2))
        np.testing.assert_allclose(spectrum.power(smooth).sum(axis=1), variance, rtol=0.02)


def _smoothed(field: np.ndarray) -> np.ndarray:
    coefficients = np.fft.rfft2(field)
    rows, columns = np.fft.fftfreq(len(field), 1 / len(field))[:, None], np.arange(17)
    return np.fft.irfft2(coefficients * np.exp(-((rows**2 + columns**2) / 16)))


def test_a_wave_of_the_box_has_its_number():
    angle = np.arange(32) * 2 * np.pi / 32
    field = np.sqrt(2) * np.cos(5 * angle)[:, None] * np.ones(32)
    power = PlaneSpectrum(Grid.periodic(32, 32), 15).power(field)
    np.testing.assert_allclose(power, np.eye(15)[4], atol=1e-12)


def test_bands_end_before_the_grid_cuts_off():
    found = bands(np.arange(1, 23))
    assert [len(band) for band in found] == [5, 4, 4, 4]
    assert found[-1][-1] + 1 == 17


def test_resolution_ends_where_half_of_the_power_is_lost():
    wavenumbers = np.arange(1, 6)
    assert effective_resolution(np.array([1.0, 0.9, 0.6, 0.4, 0.7]), wavenumbers) == 3
    assert effective_resolution(np.ones(5), wavenumbers) == 5
    assert effective_resolution(np.array([0.4, 1, 1, 1, 1]), wavenumbers) == 0
    assert COLUMNS == 2 * ROWS
