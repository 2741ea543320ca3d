import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import flowsci
from flowsci.domains.weather import domain
from flowsci.domains.weather.data_settings import SpeedySimulation, WeatherData
from flowsci.domains.weather.grids import Grid, gauss_latitudes
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.simulate import encoding, speedy
from flowsci.errors import FlowsciError

CARRIED = Path(flowsci.__file__).parent / "domains" / "weather" / "data" / "speedy.nc"
L_MAX = 10


def settings(**changes):
    return WeatherData(
        domain="weather",
        title="A small set",
        licence="none",
        citation="none",
        source={"kind": "simulate"} | changes,
        simulation={"kind": "speedy", "years": 0.1, "truncation": L_MAX},
        fields={"kind": "simulated"},
        splits={"kind": "shares", "train": 0.6, "validation": 0.2, "test": 0.2, "gap_days": 1},
    )


def band_limited(times=120, seed=0):
    """Make fields whose harmonics end at L_MAX, as the model's do, changing from time to time."""
    grid = Grid.from_coordinates(gauss_latitudes(16)[0], np.arange(32) * 11.25)
    transform = SphericalTransform(grid.latitudes, grid.longitudes, L_MAX)
    generator = torch.Generator().manual_seed(seed)
    cells = ("latitude", "longitude")
    base = {"geopotential_500": 5e4, "temperature_850": 280.0, "surface_pressure": np.log(1e5)}
    size = {"geopotential_500": 500.0, "specific_humidity_850": 1e-3, "surface_pressure": 0.005}
    variables = {}
    for channel in encoding.CHANNELS:
        noise = torch.randn(times, 16, 32, generator=generator, dtype=torch.float64)
        values = transform.project(noise) * size.get(channel.name, 2.0)
        values = values + base.get(channel.name, 0.0)
        values = encoding.from_harmonic(values, channel, grid)
        variables[channel.name] = (("time", *cells), values.float().numpy())
    surface = np.random.default_rng(0).uniform(size=(16, 32)).astype("f4")
    variables |= {"orography": (cells, 1000 * surface), "land": (cells, surface)}
    time = np.datetime64("2000-01-01T12", "ns") + np.arange(times) * np.timedelta64(12, "h")
    axes = {"time": time, "latitude": grid.latitudes, "longitude": grid.longitudes}
    return xr.Dataset(variables, axes, {"simulation": "a test", "title": "a test"}), grid


@pytest.mark.parametrize("error", [0.01, 0.05])
def test_the_rounding_error_is_the_one_asked_for(tmp_path, error):
    fields, grid = band_limited()
    encoding.write(tmp_path / "a.nc", fields, L_MAX, error)
    decoded = encoding.read(tmp_path / "a.nc")
    for number, channel in enumerate(encoding.CHANNELS):
        truth, found = (
            encoding.to_harmonic(torch.from_numpy(x).double(), channel, grid)
            for x in (fields[channel.name].values, decoded["fields"].values[:, number])
        )
        area = torch.from_numpy(grid.area)
        change = ((truth[2:] - truth[:-2]).square().mean(0) * area).sum().sqrt()
        missed = ((found - truth).square().mean(0) * area).sum().sqrt()
        assert (missed / change).item() == pytest.approx(error, rel=0.1)
    np.testing.assert_array_equal(decoded["orography"], fields["orography"])


def test_winds_and_pressure_come_back_in_their_own_units(tmp_path):
    fields, _ = band_limited()
    encoding.write(tmp_path / "a.nc", fields, L_MAX, 0.001)
    decoded = encoding.read(tmp_path / "a.nc")
    for number, channel in enumerate(encoding.CHANNELS):
        truth = fields[channel.name].values
        np.testing.assert_allclose(
            decoded["fields"].values[:, number], truth, atol=0.02 * truth.std()
        )
    hours = fields["time"].values.astype("datetime64[h]").astype(int)
    np.testing.assert_array_equal(decoded["time"].values, hours)


def test_real_and_complex_coefficients_are_the_same():
    transform = SphericalTransform(gauss_latitudes(16)[0], np.arange(32) * 11.25, L_MAX)
    noise = torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(0)).double()
    coefficients = transform.analyse(noise)
    real = encoding.as_real(coefficients)
    assert real.shape == (3, (L_MAX + 1) ** 2)
    torch.testing.assert_close(real.square().sum(-1), transform.power(noise).sum(-1))
    torch.testing.assert_close(encoding.as_complex(real, L_MAX, L_MAX), coefficients)


def test_a_rounding_error_that_leaves_16_bits_is_named(tmp_path):
    with pytest.raises(FlowsciError, match="rounding_error 1e-07 is too small for geopotential"):
        encoding.write(tmp_path / "a.nc", band_limited()[0], L_MAX, 1e-7)


def test_another_file_is_named(tmp_path):
    band_limited()[0].to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(FlowsciError, match=r"a.nc: isn't a file of coefficients"):
        encoding.read(tmp_path / "a.nc")


def test_periods_are_joined_cut_to_the_years_and_prepared(tmp_path):
    fields, _ = band_limited()
    for period in range(2):
        part = fields.drop_vars(["orography", "land"]).isel(
            time=slice(60 * period, 60 * period + 60)
        )
        part.to_netcdf(tmp_path / speedy.period_file(period), engine="h5netcdf")
    fields[["orography", "land"]].to_netcdf(tmp_path / speedy.SURFACE, engine="h5netcdf")
    joined = domain.join(settings(), [tmp_path], tmp_path)
    # a tenth of a year are 36.5 days
    assert joined.counts["times"] == 73
    prepared = domain.prepare([tmp_path / speedy.FILE], settings())
    assert prepared.statistics["truncation"] == L_MAX
    assert "a simulation, no observation" in prepared.arrays.attrs["simulation"]
    assert prepared.arrays.attrs["surface"] == "known"


def test_a_run_in_several_chunks_and_a_missing_package_are_named(tmp_path, monkeypatch):
    with pytest.raises(FlowsciError, match="one run in time; set it to 1"):
        domain.simulate(settings(chunks=2), 0, [], tmp_path)
    monkeypatch.setitem(sys.modules, "jcm", None)
    with pytest.raises(FlowsciError, match=r"SPEEDY cannot be run: .* pip install"):
        domain.simulate(settings(), 0, [], tmp_path)


def test_a_simulation_that_diverges_is_named():
    times = np.datetime64("2000-01-01T12", "h") + np.arange(3) * np.timedelta64(12, "h")
    values = np.zeros((3, 4, 2))
    values[1, 2, 0] = np.nan
    with pytest.raises(
        FlowsciError, match="diverged: surface_pressure isn't finite at 2000-01-02T00"
    ):
        speedy._check_finite({"surface_pressure": values}, times)


@pytest.mark.slow
def test_a_run_that_was_interrupted_is_the_run_that_was_not(tmp_path):
    pytest.importorskip("jcm")
    simulation = SpeedySimulation(years=0.02, spin_up_days=4, chunk_days=4)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    speedy.simulate(simulation, whole)
    speedy.simulate(simulation.model_copy(update={"years": 0.01}), cut)
    speedy.simulate(simulation, cut)
    name = speedy.period_file(1)
    expected, found = (xr.load_dataset(folder / name) for folder in (whole, cut))
    xr.testing.assert_equal(found, expected)
    assert found["time"].values[0] == np.datetime64("2000-01-05T12")
    assert 200 < expected["temperature_850"].values.min() < 300
    np.testing.assert_allclose(expected["latitude"], gauss_latitudes(32)[0], atol=1e-4)


@pytest.fixture(scope="module")
def carried():
    return encoding.read(CARRIED)


def test_the_carried_file_is_small_and_says_that_it_is_a_simulation(carried):
    assert CARRIED.stat().st_size <= 12_000_000
    assert "a simulation" in carried.attrs["simulation"]
    assert carried["fields"].shape == (4017, 6, 32, 64)
    assert np.unique(np.diff(carried["time"].values)).tolist() == [12]
    assert (CARRIED.parent / "README.md").read_text(encoding="utf-8").count("simulation") >= 1


def test_the_carried_levels_are_sigmas_and_no_pressures(carried):
    channels = encoding.channels_of(carried.attrs)
    assert [channel.level_sigma for channel in channels] == [0.51, *4 * [0.835], None]
    assert all(channel.level_hpa is None for channel in channels)


def test_the_carried_fields_are_of_the_size_of_the_atmosphere(carried):
    names = carried["channel"].values.tolist()
    area = Grid.from_coordinates(carried["latitude"].values, carried["longitude"].values).area
    fields = carried["fields"].values[::10].astype(np.float64)
    means = dict(zip(names, (fields * area).sum((2, 3)).mean(0), strict=True))
    assert means["geopotential_500"] / 9.80665 == pytest.approx(5600, abs=150)
    assert means["temperature_850"] == pytest.approx(279, abs=4)
    assert means["specific_humidity_850"] == pytest.approx(0.0066, abs=0.002)
    assert means["surface_pressure"] == pytest.approx(100_200, abs=1000)
    assert (fields[:, names.index("specific_humidity_850")] < 0).mean() < 0.05
    day = carried["fields"].values[2:400:7] - carried["fields"].values[:398:7]
    change = dict(
        zip(names, np.sqrt((day.astype(float) ** 2 * area).sum((2, 3)).mean(0)), strict=True)
    )
    assert 300 < change["geopotential_500"] < 480
    assert 1.5 < change["temperature_850"] < 2.6
    assert 2.5 < change["v_wind_850"] < 4.2
    north = carried["land"].values[16:].mean()
    assert 0.3 < north < 0.6
    assert 3000 < carried["orography"].values.max() < 6000


def test_the_carried_wind_has_a_peak_of_weather_and_a_falling_spectrum(carried):
    latitudes, longitudes = (carried[name].values.copy() for name in ("latitude", "longitude"))
    transform = SphericalTransform(latitudes, longitudes, 31)
    wind = torch.from_numpy(carried["fields"].values[::20, 2:4]).double()
    wind = wind * torch.cos(torch.deg2rad(torch.from_numpy(latitudes)))[:, None]
    energy = transform.power(wind - wind.mean(0)).mean(0).sum(0)
    assert 5 <= int(energy[1:].argmax()) + 1 <= 11
    assert (energy[12:21].diff() < 0).all()
    assert energy[23:].sum() < 1e-6 * energy.sum()


@pytest.mark.parametrize(("resolution", "degree"), [("T21", 22), ("T31", 32)])
def test_all_degrees_of_a_resolution_are_kept(resolution, degree):
    assert SpeedySimulation(resolution=resolution).largest_degree == degree
