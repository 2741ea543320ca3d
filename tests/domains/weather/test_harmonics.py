import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch_harmonics import RealSHT

from flowsci.domains.weather.grids import Grid, gauss_latitudes
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.errors import FlowsciError

LONGITUDES = np.arange(48) * 360 / 48
ROWS = {
    "gaussian": gauss_latitudes(24)[0],
    "regular": -90 + (np.arange(24) + 0.5) * 7.5,
    "regular_poles": np.linspace(-90, 90, 25),
}


def random_coefficients(l_max, generator):
    shape = (2, l_max + 1, l_max + 1, 2)
    parts = torch.randn(shape, generator=generator, dtype=torch.float64)
    coefficients = torch.view_as_complex(parts).tril()
    coefficients[..., 0] = coefficients[..., 0].real.to(coefficients.dtype)
    return coefficients


@pytest.mark.parametrize("kind", ROWS)
def test_band_limited_fields_come_back_exactly(kind):
    transform = SphericalTransform(ROWS[kind], LONGITUDES, 20)
    coefficients = random_coefficients(20, torch.Generator().manual_seed(0))
    fields = transform.synthesise(coefficients)
    torch.testing.assert_close(transform.analyse(fields), coefficients)
    torch.testing.assert_close(transform.project(fields), fields)


@pytest.mark.parametrize("columns", [48, 30])
@pytest.mark.parametrize("kind", ROWS)
def test_a_grid_determines_harmonics_up_to_its_largest_degree_only(kind, columns):
    grid = Grid.from_coordinates(ROWS[kind], np.arange(columns) * 360 / columns)
    back = []
    for degree in (grid.largest_degree, grid.largest_degree + 1):
        rank = np.linalg.matrix_rank(harmonics(grid, degree), rtol=1e-8)
        back.append(int(rank) == (degree + 1) ** 2)
    assert back == [True, False]


def harmonics(grid, degree):
    """Give the real harmonics (cells, harmonics) of all degrees up to one, from SciPy."""
    colatitude, longitude = np.radians(90 - grid.latitudes)[:, None], np.radians(grid.longitudes)
    waves = []
    for order in range(degree + 1):
        for number in range(order, degree + 1):
            harmonic = sph_harm_y(number, order, colatitude, longitude)
            waves += [harmonic.real] + ([harmonic.imag] if order else [])
    return np.stack(waves, -1).reshape(-1, len(waves))


@pytest.mark.parametrize("kind", ROWS)
def test_a_projection_twice_is_one_and_takes_away_mean_square(kind):
    transform = SphericalTransform(ROWS[kind], LONGITUDES, 12)
    noise = torch.randn(3, len(ROWS[kind]), 48, generator=torch.Generator().manual_seed(1))
    once = transform.project(noise.double())
    torch.testing.assert_close(transform.project(once), once)
    assert (once - noise).square().mean() > 0.1


def test_harmonics_are_those_of_the_textbook_with_mean_square_one():
    transform = SphericalTransform(ROWS["gaussian"], LONGITUDES, 10)
    colatitude, longitude = np.radians(90 - ROWS["gaussian"])[:, None], np.radians(LONGITUDES)
    for degree, order in ((0, 0), (3, 0), (5, 2), (10, 9)):
        harmonic = sph_harm_y(degree, order, colatitude, longitude) * (4 * np.pi) ** 0.5
        fields = torch.from_numpy(np.ascontiguousarray(harmonic.real * np.ones((24, 48))))
        found = transform.analyse(fields)
        expected = torch.zeros_like(found)
        expected[degree, order] = (-1) ** order / (1 if order == 0 else 2)
        torch.testing.assert_close(found, expected)
        assert transform.power(fields).sum() == pytest.approx(1 if order == 0 else 0.5)


def test_on_a_gaussian_grid_it_is_the_transform_of_torch_harmonics():
    fields = torch.randn(24, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    peer = RealSHT(24, 48, lmax=24, mmax=24, grid="legendre-gauss", csphase=False).double()
    found = SphericalTransform(ROWS["gaussian"], LONGITUDES, 23).analyse(fields)
    # its rows run from north to south
    expected = peer(fields.flip(0))[:24, :24] / (4 * torch.pi) ** 0.5
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_the_power_of_all_degrees_is_the_mean_square():
    transform = SphericalTransform(ROWS["gaussian"], LONGITUDES, 20)
    fields = transform.synthesise(random_coefficients(20, torch.Generator().manual_seed(3)))
    weights = torch.from_numpy(gauss_latitudes(24)[1])
    mean_square = (fields.square().mean(-1) * weights).sum(-1)
    torch.testing.assert_close(transform.power(fields).sum(-1), mean_square)


def test_degrees_are_multiplied_by_their_factors():
    transform = SphericalTransform(ROWS["gaussian"], LONGITUDES, 20)
    coefficients = random_coefficients(20, torch.Generator().manual_seed(5))
    factors = torch.linspace(0.5, 2, 21, dtype=torch.float64)
    found = transform.scaled(transform.synthesise(coefficients), factors)
    expected = transform.synthesise(coefficients * factors[:, None])
    torch.testing.assert_close(found, expected)


def test_longitudes_may_begin_anywhere():
    coefficients = random_coefficients(10, torch.Generator().manual_seed(4))
    here = SphericalTransform(ROWS["gaussian"], LONGITUDES, 10)
    moved = SphericalTransform(ROWS["gaussian"], LONGITUDES + 7.5, 10)
    rolled = here.synthesise(coefficients).roll(-1, dims=-1)
    torch.testing.assert_close(moved.synthesise(coefficients), rolled)
    torch.testing.assert_close(moved.analyse(rolled), coefficients)


def test_single_precision_and_gradients_pass_through():
    transform = SphericalTransform(ROWS["regular"], LONGITUDES, 20)
    fields = torch.randn(2, 24, 48, requires_grad=True)
    projected = transform.project(fields)
    assert projected.dtype == torch.float32
    projected.square().sum().backward()
    assert fields.grad.isfinite().all()


def test_too_few_rows_and_regions_are_named():
    with pytest.raises(FlowsciError, match="need more than 24 rows"):
        SphericalTransform(ROWS["gaussian"], LONGITUDES, 24)
    with pytest.raises(FlowsciError, match="need a global grid"):
        SphericalTransform(np.linspace(10, 30, 8), np.linspace(0, 20, 8), 4)
