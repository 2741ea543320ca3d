import numpy as np
import pytest
import torch

from flowsci.domains.weather.data_settings import Box
from flowsci.domains.weather.grids import Grid, gauss_latitudes
from flowsci.errors import FlowsciError

GLOBAL = {
    "gaussian": (gauss_latitudes(16)[0], np.arange(32) * 360 / 32),
    "regular": (-90 + (np.arange(16) + 0.5) * 180 / 16, np.arange(32) * 360 / 32),
    "regular_poles": (np.linspace(-90, 90, 17), np.arange(32) * 360 / 32),
}


def cartesian(latitudes, longitudes):
    """Give unit vectors (3, latitude, longitude): a place, its east and its north."""
    latitude, longitude = np.meshgrid(np.radians(latitudes), np.radians(longitudes), indexing="ij")
    place = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude)]
    east = [-np.sin(longitude), np.cos(longitude), np.zeros_like(longitude)]
    north = [-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude)]
    return (
        np.stack([*place, np.sin(latitude)]),
        np.stack(east),
        np.stack([*north, np.cos(latitude)]),
    )


@pytest.mark.parametrize("kind", GLOBAL)
def test_a_grid_is_recognised_and_its_area_is_one(kind):
    grid = Grid.from_coordinates(*GLOBAL[kind])
    assert grid.kind == kind
    assert grid.wraps
    assert grid.area.sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", GLOBAL)
def test_padding_over_the_poles_continues_a_smooth_field_and_a_smooth_wind(kind):
    grid = Grid.from_coordinates(*GLOBAL[kind])
    place, east, north = cartesian(grid.latitudes, grid.longitudes)
    # a vector of space, constant, seen from each place: its part upwards, eastwards, northwards
    constant = np.array([0.3, -1.1, 0.7])
    fields = torch.from_numpy(
        np.stack([np.tensordot(constant, part, axes=1) for part in (place, east, north)])
    )[None]
    width = 3
    padded = grid.pad(fields, width, torch.tensor([1, 2]))
    # beyond a pole latitudes go on past 90 degrees, where the same formulas hold for a traveller
    # who goes straight on
    inner = grid.latitudes[::-1]
    mirrored = 180 - (inner[1:] if kind == "regular_poles" else inner)[:width]
    latitudes = np.concatenate([-mirrored[::-1], grid.latitudes, mirrored])
    longitudes = np.concatenate(
        [grid.longitudes[-width:] - 360, grid.longitudes, grid.longitudes[:width] + 360]
    )
    place, east, north = cartesian(latitudes, longitudes)
    expected = np.stack([np.tensordot(constant, part, axes=1) for part in (place, east, north)])
    np.testing.assert_allclose(padded[0], expected, atol=1e-12)


def test_a_wind_without_the_sign_is_wrong_at_the_poles():
    grid = Grid.from_coordinates(*GLOBAL["gaussian"])
    fields = torch.ones(1, 1, 16, 32)
    assert grid.pad(fields, 1)[0, 0, 0].eq(1).all()
    assert grid.pad(fields, 1, torch.tensor([0]))[0, 0, 0].eq(-1).all()
    assert grid.pad(fields, 1, torch.tensor([0]))[0, 0, 1:-1].eq(1).all()


def test_a_region_repeats_its_edges_and_a_band_wraps():
    region = Grid.from_coordinates(np.linspace(50, 58, 5), np.linspace(-10, 2, 7))
    fields = torch.arange(35.0).reshape(1, 1, 5, 7)
    padded = region.pad(fields, 2)[0, 0]
    assert region.kind == "region"
    assert padded.shape == (9, 11)
    assert padded[0, 0] == padded[2, 2] == 0
    assert padded[-1, -1] == 34
    band = Grid.from_coordinates(np.linspace(-30, 30, 5), np.arange(8) * 45.0)
    fields = torch.arange(40.0).reshape(1, 1, 5, 8)
    assert (band.kind, band.wraps) == ("region", True)
    assert band.pad(fields, 1)[0, 0, 1, 0] == 7


def test_a_periodic_box_wraps_both_ways():
    grid = Grid.periodic(4, 6)
    fields = torch.arange(24.0).reshape(1, 1, 4, 6)
    expected = np.pad(fields[0, 0].numpy(), 2, mode="wrap")
    np.testing.assert_array_equal(grid.pad(fields, 2)[0, 0], expected)


def test_gauss_weights_integrate_polynomials_of_the_sine_exactly():
    grid = Grid.from_coordinates(*GLOBAL["gaussian"])
    sines = np.sin(np.radians(grid.latitudes))
    for power in range(2 * len(sines)):
        exact = 0 if power % 2 else 1 / (power + 1)
        assert grid.row_weights @ sines**power == pytest.approx(exact, abs=1e-14)


def test_areas_of_a_region_are_those_of_its_cells():
    latitudes, longitudes = np.linspace(50, 58, 33), np.linspace(-10, 2, 49)
    rows = Grid.from_coordinates(latitudes, longitudes).row_weights
    edges = np.radians(np.append(latitudes - 0.125, 58.125))
    exact = np.diff(np.sin(edges))
    np.testing.assert_allclose(rows, exact / exact.sum(), rtol=1e-12)


def test_block_means_keep_the_mean_and_interpolation_keeps_a_constant():
    grid = Grid.from_coordinates(*GLOBAL["gaussian"])
    fields = torch.randn(2, 16, 32, dtype=torch.float64)
    coarse = grid.coarsen(fields, 4)
    assert coarse.shape == (2, 4, 8)
    areas = torch.from_numpy(grid.row_weights.reshape(4, 4).sum(1))
    mean = (coarse.mean(-1) * areas).sum(-1)
    exact = (fields * torch.from_numpy(grid.area)).sum((-2, -1))
    torch.testing.assert_close(mean, exact)
    ones = torch.ones(4, 8, dtype=torch.float64)
    torch.testing.assert_close(grid.refine(ones, 4), torch.ones(16, 32, dtype=torch.float64))


def test_interpolation_of_block_means_gives_back_a_linear_field_inside():
    grid = Grid.from_coordinates(np.linspace(50, 58, 33), np.linspace(-10, 2, 49))
    fields = torch.linspace(0, 1, 49, dtype=torch.float64).expand(33, 49)
    back = grid.refine(grid.coarsen(fields, 2), 2)
    assert back.shape == fields.shape
    torch.testing.assert_close(back[:, 1:-2], fields[:, 1:-2])


def test_block_means_leave_out_cells_without_a_value():
    grid = Grid.periodic(4, 4)
    fields, valid = torch.ones(4, 4), torch.ones(4, 4)
    fields[0, 0], valid[0, 0] = 100.0, 0.0
    valid[2:, 2:] = 0.0
    coarse = grid.coarsen(fields, 2, valid)
    assert coarse.tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_boxes_may_cross_greenwich():
    grid = Grid.from_coordinates(*GLOBAL["regular"])
    cells = grid.in_box(Box(south=-30, north=30, west=-20, east=20))
    assert set(grid.longitudes[cells.any(0)]) == {0.0, 11.25, 348.75}
    assert (np.abs(grid.latitudes[cells.any(1)]) <= 30).all()


def test_a_place_outside_a_region_is_named():
    grid = Grid.from_coordinates(np.linspace(50, 58, 33), np.linspace(-10, 2, 49))
    assert grid.nearest(51.5, -0.1) == (6, 40)
    assert grid.nearest(51.5, 359.9) == (6, 40)
    with pytest.raises(FlowsciError, match="outside the grid"):
        grid.nearest(20, 0)


@pytest.mark.parametrize(
    ("latitudes", "longitudes", "message"),
    [
        ([10, 0], [0, 90, 180, 270], "latitudes of a grid must ascend"),
        ([0, 10], [0, 90, 90, 270], "longitudes of a grid must ascend"),
        ([0], [0, 180], "at least 2 latitudes"),
        ([0, 95], [0, 180], "between -90 and 90"),
        (np.linspace(-90, 90, 7), np.arange(9) * 40.0, "odd number"),
    ],
)
def test_what_is_no_grid_is_named(latitudes, longitudes, message):
    with pytest.raises(FlowsciError, match=message):
        Grid.from_coordinates(latitudes, longitudes)


@pytest.mark.parametrize("kind", [*GLOBAL, "periodic"])
def test_a_grid_comes_back_from_statistics(kind):
    grid = Grid.periodic(8, 8) if kind == "periodic" else Grid.from_coordinates(*GLOBAL[kind])
    again = Grid.of(
        {"grid": kind, "latitude": grid.latitudes.tolist(), "longitude": grid.longitudes.tolist()}
    )
    assert again.kind == kind
    np.testing.assert_array_equal(again.area, grid.area)
