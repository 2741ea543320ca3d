"""The dataset files that this domain comes with, on small stores of the same layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import flowsci
from flowsci.domains.weather import domain
from flowsci.domains.weather.band import Band
from flowsci.domains.weather.climatology import evaluate
from flowsci.domains.weather.data_settings import WeatherData
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.settings import FlowSettings, UNetSettings
from flowsci.errors import FlowsciError
from flowsci.settings_files import check_settings, overlaid, read_yaml

CONFIG = Path(flowsci.__file__).parents[1] / "config" / "data" / "weather"
LEVELS = [500, 700, 850]
ON_LEVELS = {
    "geopotential": "m**2 s**-2",
    "temperature": "K",
    "u_component_of_wind": "m s**-1",
    "v_component_of_wind": "m s**-1",
    "specific_humidity": "kg kg**-1",
}


def data_file(name, **changes):
    """Read a dataset file with other values laid over it."""
    path = CONFIG / f"{name}.yaml"
    return check_settings(overlaid(read_yaml(path), changes), WeatherData, str(path))


def weatherbench(folder, rows, poles, start="2017-10-01", times=800):
    """Make a store as WeatherBench 2 has them, of a few times and 2 * rows columns."""
    latitudes = np.linspace(-90, 90, rows) if poles else -90 + (np.arange(rows) + 0.5) * 180 / rows
    columns = 2 * (rows - poles)
    axes = {
        "time": np.datetime64(start, "ns") + 36 * np.arange(times) * np.timedelta64(1, "h"),
        "level": np.array(LEVELS, dtype=np.int64),
        "longitude": ("longitude", np.arange(columns) * 360 / columns, {"units": "degrees_east"}),
        "latitude": ("latitude", latitudes, {"units": "degrees_north"}),
    }
    generator = np.random.default_rng(0)
    shape = (times, len(LEVELS), columns, rows)
    dims = ("time", "level", "longitude", "latitude")
    flat = (dims[0], *dims[2:])
    variables = {
        name: (dims, generator.normal(size=shape).astype("f4"), {"units": units})
        for name, units in ON_LEVELS.items()
    }
    pressure = generator.normal(101325, 500, (times, columns, rows)).astype("f4")
    surface = generator.uniform(0, 1, (columns, rows)).astype("f4")
    variables |= {
        "mean_sea_level_pressure": (flat, pressure, {"units": "Pa"}),
        "geopotential_at_surface": (dims[2:], 9806.65 * surface, {"units": "m**2 s**-2"}),
        "land_sea_mask": (dims[2:], surface, {"units": "(0 - 1)"}),
    }
    store = xr.Dataset(variables, axes)
    encoding = {"time": {"units": "hours since 1959-01-01", "dtype": "int64"}}
    store.to_zarr(folder / "wb2.zarr", zarr_format=2, consolidated=True, encoding=encoding)
    return store


@pytest.mark.parametrize(
    ("name", "rows", "poles", "kind"),
    [("wb2_64x32", 8, False, "regular"), ("wb2_240x121", 9, True, "regular_poles")],
)
@pytest.mark.parametrize("source", ["store", "path"])
def test_a_copy_of_weatherbench_is_read_by_its_dataset_file(
    tmp_path, name, rows, poles, kind, source
):
    store = weatherbench(tmp_path, rows, poles)
    address = {"address": str(tmp_path / "wb2.zarr")}
    place = address if source == "store" else {"path": str(tmp_path)}
    settings = data_file(name, source={"kind": source} | place)
    files = [] if source == "store" else sorted(p for p in tmp_path.rglob("*") if p.is_file())
    prepared = domain.prepare(files, settings)
    arrays, names = prepared.arrays, [c["name"] for c in prepared.statistics["channels"]]
    assert arrays.attrs["grid"] == kind
    assert arrays.attrs["simulation"] == ""
    assert arrays["fields"].shape[2:] == (rows, 2 * (rows - poles))
    wind = store["v_component_of_wind"].sel(level=850).transpose("time", "latitude", "longitude")
    kept = wind.sel(time=slice("1979-01-01", "2020-12-31T23"))
    found = arrays["fields"].values[:, names.index("v_wind_850")]
    np.testing.assert_array_equal(found, kept.values)
    np.testing.assert_allclose(
        arrays["orography"].values * 9.80665 / 9806.65, arrays["land"].values, rtol=1e-5
    )
    years = kept["time"].dt.year.values
    split = arrays["split"].values
    assert set(years[split == 0]) == {2017, 2018}
    assert set(years[split == 1]) == {2019}
    assert set(years[split == 2]) == {2020}
    assert prepared.counts["times"]["in no split"] > 0
    partners = [channel["partner"] for channel in prepared.statistics["channels"]]
    assert partners == [None, None, 3, 2, None, None]


def test_a_global_store_of_known_truncation_has_a_band_and_matched_noise(tmp_path):
    store = weatherbench(tmp_path, 8, False)
    transform = SphericalTransform(store["latitude"].values, store["longitude"].values, 5)
    smooth = store["temperature"].transpose(..., "latitude", "longitude").copy()
    smooth.values = transform.project(torch.from_numpy(smooth.values)).numpy()
    held = store.assign(temperature=smooth)
    encoding = {"time": {"units": "hours since 1959-01-01", "dtype": "int64"}}
    held.to_zarr(tmp_path / "held.zarr", zarr_format=2, consolidated=True, encoding=encoding)
    source = {"kind": "store", "address": str(tmp_path / "held.zarr")}
    known, unknown = (
        domain.prepare([], data_file("wb2_64x32", source=source, fields=fields))
        for fields in ({"truncation": 5}, {})
    )
    assert (known.statistics["truncation"], unknown.statistics["truncation"]) == (5, None)
    band = Band(known.statistics)
    names = [channel["name"] for channel in known.statistics["channels"]]
    fields = torch.from_numpy(known.arrays["fields"].values[:4])
    projected = band.project(fields)
    place = names.index("temperature_850")
    torch.testing.assert_close(projected[:, place], fields[:, place], rtol=0, atol=1e-4)
    torch.testing.assert_close(band.project(projected), projected, rtol=1e-4, atol=1e-2)
    # what lies beyond is taken out of the others
    wind = names.index("u_wind_850")
    assert (projected[:, wind] - fields[:, wind]).std() > 0.1
    network, flow = UNetSettings(width=8), FlowSettings(noise="matched")
    assert domain.model(network, flow, known.statistics).band.transform.l_max == 5
    with pytest.raises(FlowsciError, match=r"flow.noise: 'matched' .* say fields.truncation"):
        domain.model(network, flow, unknown.statistics)


def test_a_month_over_a_region_is_read_by_its_dataset_file(tmp_path):
    hours = np.arange(744)
    latitudes, longitudes = np.linspace(58, 50, 9), np.linspace(-10, 2, 13)
    cycle = 3 * np.cos(2 * np.pi * (hours - 15) / 24)
    noise = np.random.default_rng(0).normal(size=(744, 9, 13))
    path = tmp_path / "uk.nc"
    xr.Dataset(
        {
            "t2m": (
                ("time", "latitude", "longitude"),
                (280 + cycle[:, None, None] + noise).astype("f4"),
                {"units": "K", "standard_name": "unknown", "long_name": "2 metre temperature"},
            )
        },
        {
            "time": np.datetime64("2019-03-01", "ns") + hours * np.timedelta64(1, "h"),
            "latitude": latitudes,
            "longitude": longitudes,
        },
    ).to_netcdf(path, engine="h5netcdf")
    settings = data_file("era5_uk", source={"kind": "path", "path": str(path)})
    prepared = domain.prepare([path], settings)
    arrays = prepared.arrays
    assert arrays.attrs["grid"] == "region"
    assert arrays["latitude"].values[0] == 50
    assert arrays["climatology"].attrs == {"annual_waves": 0, "diurnal_waves": 2}
    day = evaluate(arrays, arrays["time"].values[:24])[:, 0].mean((1, 2))
    assert day.argmax() == 15
    assert np.ptp(day) == pytest.approx(6, abs=0.2)
    assert prepared.statistics["anomaly_spread"][0] == pytest.approx(1, abs=0.05)
    assert prepared.statistics["truncation"] is None
    assert set(prepared.counts["cases"]) == {"6 h", "24 h", "72 h"}


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_dataset_files_are_valid(path):
    settings = data_file(path.stem)
    if settings.source.kind in ("simulate", "sample"):
        assert "simulation" in settings.title
