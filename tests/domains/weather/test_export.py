"""What is written can be opened by others: CF-1.8, lazily, and equal in both formats."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from compliance_checker.runner import CheckSuite

from flowsci.domains.weather.export import ENSEMBLE, MEAN_HEAD, ZARR, cells, export, read_samples
from flowsci.domains.weather.export.layout import TOP

from .judged import COLUMNS, ROWS, SPREAD, make_prepared, make_rows

TASKS = ("forecast", "downscale_4", "inpaint")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def findings(path: Path, at_least: int) -> list[str]:
    """Give what the checker of CF-1.8 has to say, of a weight (3: errors)."""
    CheckSuite.load_all_available_checkers()
    suite = CheckSuite()
    dataset = suite.load_dataset(str(path))
    (groups,) = suite.run_all(dataset, ["cf:1.8"]).values()
    failed = [g for g in groups[0] if g.weight >= at_least and g.value[0] < g.value[1]]
    dataset.close()
    return [f"{group.name}: {message}" for group in failed for message in _messages(group)]


def _messages(group: object) -> list[str]:
    own = list(getattr(group, "msgs", None) or [])
    children = getattr(group, "children", None) or []
    return own + [message for child in children for message in _messages(child)]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("grid", ["gaussian", "region", "periodic"])
def test_the_checker_of_cf_finds_no_error(task: str, grid: str, tmp_path: Path):
    prepared = make_prepared(grid)
    exported = export(make_rows(prepared, task=task, starts=2), prepared, tmp_path)
    assert set(exported.files) == {ENSEMBLE, ZARR, MEAN_HEAD}
    for name in (ENSEMBLE, MEAN_HEAD):
        assert findings(tmp_path / name, at_least=3) == []
        # members and leads are wanted behind the time, which CF only advises against
        advice = findings(tmp_path / name, at_least=1)
        assert all("not in the recommended order" in text for text in advice), advice


def test_the_checker_would_find_an_error(tmp_path: Path):
    prepared = make_prepared()
    export(make_rows(prepared, starts=1), prepared, tmp_path)
    broken = xr.open_dataset(tmp_path / ENSEMBLE, decode_times=False).load()
    broken["temperature_850"].attrs["units"] = "kg"
    broken.to_netcdf(tmp_path / "broken.nc", engine="h5netcdf")
    assert any("temperature_850" in text for text in findings(tmp_path / "broken.nc", 3))


def test_netcdf_and_zarr_hold_the_same_and_open_lazily(tmp_path: Path):
    prepared = make_prepared()
    rows = make_rows(prepared)
    export(rows, prepared, tmp_path)
    generated = read_samples(tmp_path)
    stored = xr.open_zarr(tmp_path / ZARR, consolidated=False, decode_times=False, chunks=None)
    xr.testing.assert_identical(generated.ensemble.load(), stored.load())
    wind = rows["fields"].isel(channel=1).transpose("row", "lead", "realization", ...)
    np.testing.assert_array_equal(generated.ensemble["u_wind_500"].values, wind.values)
    temperature = generated.ensemble["temperature_850"]
    assert temperature.dims == (
        "forecast_reference_time",
        "forecast_period",
        "realization",
        "latitude",
        "longitude",
    )
    assert temperature.isnull()[..., 3, 4].all()
    assert int(temperature.isnull().sum()) == temperature.size // (ROWS * COLUMNS)


def test_a_chunk_is_one_time_lead_and_member(tmp_path: Path):
    prepared = make_prepared()
    export(make_rows(prepared), prepared, tmp_path)
    netcdf = read_samples(tmp_path).ensemble["temperature_850"].encoding["chunksizes"]
    stored = xr.open_zarr(tmp_path / ZARR, consolidated=False, decode_times=False)
    assert netcdf == (1, 1, 1, ROWS, COLUMNS)
    assert stored["temperature_850"].encoding["chunks"] == (1, 1, 1, ROWS, COLUMNS)


def test_times_levels_and_label_are_there(tmp_path: Path):
    prepared = make_prepared()
    export(make_rows(prepared), prepared, tmp_path)
    opened = xr.open_dataset(tmp_path / ENSEMBLE, decode_timedelta=False)
    assert str(opened["time"].values[0, 1])[:13] == str(np.datetime64("1970-06-27T00"))[:13]
    assert opened["forecast_period"].values.tolist() == [24, 48]
    levels = {
        n: opened[n].encoding["coordinates"].split() for n in ("temperature_850", "u_wind_500")
    }
    assert levels["temperature_850"] == ["time", "air_pressure_850"]
    assert levels["u_wind_500"] == ["time", "air_pressure_500"]
    assert "simulation (SPEEDY T21)" in opened.attrs["source"]
    mean = xr.open_dataset(tmp_path / MEAN_HEAD, decode_timedelta=False)
    np.testing.assert_allclose(mean["temperature_850_error"], 0.5 * SPREAD[0])


def test_steps_of_a_box_are_no_hours(tmp_path: Path):
    prepared = make_prepared("periodic")
    export(make_rows(prepared), prepared, tmp_path)
    for name in (ENSEMBLE, MEAN_HEAD):
        opened = xr.open_dataset(tmp_path / name, decode_times=False)
        lead = opened["forecast_period"].attrs
        assert lead["units"] == "1"
        assert lead["long_name"] == "steps of the record since the last known state"
        assert "standard_name" not in lead
        for time in ("time", "forecast_reference_time"):
            assert "counts a step of the record as an hour" in opened[time].attrs["long_name"]


def test_levels_of_sigma_are_no_pressures(tmp_path: Path):
    prepared = make_prepared()
    about = {"standard_name": "surface_air_pressure", "units": "Pa", "level_hpa": None}
    temperature, wind, other = prepared.statistics["channels"]
    prepared.statistics["channels"] = [
        temperature | {"level_hpa": None, "level_sigma": 0.835},
        wind | {"level_hpa": None, "level_sigma": 0.51},
        other | about,
    ]
    export(make_rows(prepared), prepared, tmp_path)
    for name in (ENSEMBLE, MEAN_HEAD):
        assert findings(tmp_path / name, at_least=3) == []
        opened = xr.open_dataset(tmp_path / name, decode_timedelta=False)
        assert opened["temperature_850"].encoding["coordinates"].split()[-1] == "sigma_0_835"
        assert "air_pressure" not in str(opened.coords)
        level = opened["sigma_0_51"]
        assert (float(level), level.attrs["units"]) == (0.51, "1")
        assert level.attrs["standard_name"] == "atmosphere_sigma_coordinate"
        assert level.attrs["formula_terms"] == "sigma: sigma_0_51 ps: v_wind_500 ptop: " + TOP
        assert float(opened[TOP]) == 0


def test_given_values_are_flagged(tmp_path: Path):
    prepared = make_prepared()
    export(make_rows(prepared, task="inpaint"), prepared, tmp_path)
    given = read_samples(tmp_path).ensemble["temperature_850_given"]
    assert given.dims == ("time", "latitude", "longitude")
    assert given.values[..., : COLUMNS // 2].all()
    assert not given.values[..., COLUMNS // 2 :].any()


def test_cells_cover_the_sphere_and_regions_what_their_edges_say():
    sphere, region = make_prepared().arrays, make_prepared("region").arrays
    areas = cells.cell_areas(sphere)
    np.testing.assert_allclose(areas.sum(), 4 * np.pi * cells.EARTH_RADIUS_M**2, rtol=1e-12)
    np.testing.assert_allclose(areas / areas.sum(), sphere["area"].values, rtol=1e-12)
    edges = cells.latitude_edges(sphere)
    assert ((edges[:, 0] < sphere["latitude"]) & (sphere["latitude"] < edges[:, 1])).all()
    south, north = cells.latitude_edges(region)[[0, -1], [0, 1]]
    np.testing.assert_allclose([south, north], [48.5, 60.5])
    width = np.radians(12 * COLUMNS / (COLUMNS - 1))
    whole = np.diff(np.sin(np.radians([south, north])))[0] * width * cells.EARTH_RADIUS_M**2
    np.testing.assert_allclose(cells.cell_areas(region).sum(), whole)
