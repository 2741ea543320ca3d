import errno
import os
import re
from datetime import date

import numpy as np
import pytest
import xarray as xr

from flowsci.domains.weather.readers.store import read_store
from flowsci.errors import FlowsciError
from tests.domains.weather.readers.files import (
    HOURS,
    LATITUDES,
    LEVELS,
    LONGITUDES,
    dataset,
    fields,
    known,
    save,
    with_levels,
)

ON_LEVELS = {"name": "temperature_850", "source_name": "ta", "units": "K", "level_hpa": 850}


def check(raw, channel=0, level=0.0):
    """Check fields against what the test files hold, on whatever grid they now are."""
    expected = known(raw.hours, raw.grid.latitudes, raw.grid.longitudes, level)
    np.testing.assert_allclose(raw.fields[:, channel], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("longitudes", [LONGITUDES, LONGITUDES - 180, LONGITUDES - 135])
def test_rows_go_north_and_columns_east_from_greenwich(tmp_path, name, order, longitudes):
    data = dataset(latitudes=LATITUDES[::order], longitudes=longitudes)
    raw = read_store(save(data, tmp_path, name), fields(), None)
    np.testing.assert_array_equal(raw.grid.latitudes, LATITUDES)
    np.testing.assert_array_equal(raw.grid.longitudes, LONGITUDES)
    assert raw.grid.kind == "regular"
    check(raw)


@pytest.mark.parametrize(
    "dims", [("time", "longitude", "latitude"), ("latitude", "longitude", "time")]
)
def test_axes_may_come_in_any_order_and_with_other_names(tmp_path, dims):
    data = dataset().transpose(*dims).rename(latitude="lat", longitude="x", time="valid_time")
    check(read_store(save(data, tmp_path), fields(), None))


def test_a_region_may_cross_greenwich_and_the_dateline(tmp_path):
    across = np.array([350.0, 355.0, 0.0, 5.0, 10.0])
    north = np.array([50.0, 52.0, 54.0])
    data = dataset(latitudes=north, longitudes=across)
    raw = read_store(save(data, tmp_path), fields(), None)
    assert raw.grid.kind == "region"
    np.testing.assert_array_equal(raw.grid.longitudes, [-10, -5, 0, 5, 10])
    check(raw)
    pacific = dataset(latitudes=north, longitudes=np.array([170.0, 175, -180, -175, -170]))
    raw = read_store(save(pacific, tmp_path, "b.nc"), fields(), None)
    np.testing.assert_array_equal(raw.grid.longitudes, [170, 175, 180, 185, 190])
    check(raw)


def test_a_region_is_cut_out_of_the_globe(tmp_path):
    box = {"south": -30, "north": 90, "west": -50, "east": 50}
    raw = read_store(save(dataset(), tmp_path), fields(region=box), None)
    np.testing.assert_array_equal(raw.grid.latitudes, [-22.5, 22.5, 67.5])
    np.testing.assert_array_equal(raw.grid.longitudes, [-45, 0, 45])
    check(raw)


def test_rows_on_the_poles_are_told_from_rows_between(tmp_path):
    data = dataset(latitudes=np.linspace(90, -90, 5))
    assert read_store(save(data, tmp_path), fields(), None).grid.kind == "regular_poles"


@pytest.mark.parametrize(
    ("units", "factor"), [("hPa", 1), ("Pa", 100), ("millibars", 1), ("", 1), ("", 100)]
)
def test_levels_are_found_in_every_unit(tmp_path, units, factor):
    data = with_levels(pressure_units=units, factor=factor)
    raw = read_store(save(data, tmp_path), fields(ON_LEVELS), None)
    assert raw.channels[0].level_hpa == 850
    check(raw, level=LEVELS[1])


@pytest.mark.parametrize("scalar", [False, True])
def test_levels_may_lie_in_different_files(tmp_path, scalar):
    files = []
    for number, level in enumerate(LEVELS):
        chosen = level if scalar else [level]
        files += save(with_levels().sel(plev=chosen), tmp_path, f"{level:g}.nc")
        wanted = [{**ON_LEVELS, "name": f"t_{v:g}", "level_hpa": v} for v in LEVELS[: number + 1]]
        raw = read_store(files, fields(*wanted), None)
        check(raw, number, level=level)
    assert raw.counts == {
        "files": 2,
        "files of other levels or times": {"t_500": 1, "t_850": 1},
    }
    with pytest.raises(
        FlowsciError, match=r"850.nc: ta: has no level of 700 hPa; it has: 500, 850"
    ):
        read_store(files, fields(ON_LEVELS | {"level_hpa": 700}), None)


@pytest.mark.parametrize("units", ["K", "1", "kPa"])
def test_levels_that_are_in_no_known_pressure_are_refused(tmp_path, units):
    files = save(with_levels(pressure_units=units), tmp_path)
    with pytest.raises(FlowsciError, match=f"a.nc: ta: its levels are in '{units}'"):
        read_store(files, fields(ON_LEVELS), None)


def test_latitudes_in_radians_are_refused(tmp_path):
    data = dataset()
    data["latitude"].attrs["units"] = "radian"
    with pytest.raises(FlowsciError, match=r"its latitude is in 'radian'\. Write latitudes"):
        read_store(save(data, tmp_path), fields(), None)


def test_a_proleptic_calendar_is_the_standard_one_whatever_its_reference(tmp_path):
    data = dataset(calendar="proleptic_gregorian")
    days = (date(1970, 1, 1) - date(1, 1, 1)).days
    attributes = data["time"].attrs | {"units": "days since 0001-01-01"}
    data = data.assign_coords(time=("time", days + HOURS / 24, attributes))
    raw = read_store(save(data, tmp_path), fields(), None)
    assert raw.calendar == "standard"
    np.testing.assert_array_equal(raw.hours, HOURS)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "julian", "proleptic_gregorian"])
def test_calendars_are_kept(tmp_path, calendar):
    data = dataset(calendar=calendar)
    data["time"].attrs["units"] = "days since 1850-01-01"
    data = data.assign_coords(time=("time", HOURS / 24, data["time"].attrs))
    raw = read_store(save(data, tmp_path), fields(start="1850-01-05", end="1850-01-06"), None)
    assert raw.calendar == ("standard" if "gregorian" in calendar else calendar)
    assert np.diff(raw.hours).tolist() == [6] * 7
    np.testing.assert_allclose(raw.fields[0, 0, 0, 0], 96 + LATITUDES[0] * 0.01)


def test_variables_and_times_may_lie_in_different_files(tmp_path):
    later = HOURS + 24 * 20
    files = save(dataset(later), tmp_path, "a.nc") + save(dataset(HOURS), tmp_path, "b.nc")
    files += save(dataset(np.concatenate([HOURS, later]), name="p", units="Pa"), tmp_path, "c.nc")
    wanted = (
        {"name": "pressure", "source_name": "p", "units": "Pa"},
        {"name": "temperature", "source_name": "t", "units": "K"},
    )
    raw = read_store(files, fields(*wanted), None)
    assert [channel.name for channel in raw.channels] == ["pressure", "temperature"]
    np.testing.assert_array_equal(raw.hours, np.concatenate([HOURS, later]))
    check(raw, 0)
    check(raw, 1)
    assert raw.counts == {"files": 3}


def test_files_may_interleave_in_time(tmp_path):
    files = save(dataset(HOURS[::2]), tmp_path, "a.nc") + save(
        dataset(HOURS[3::4]), tmp_path, "b.nc"
    )
    files += save(dataset(HOURS[1::4]), tmp_path, "c.zarr")
    raw = read_store(files, fields(), None)
    np.testing.assert_array_equal(raw.hours, HOURS)
    check(raw)


def test_a_step_and_a_range_of_times_are_read(tmp_path):
    settings = fields(start="1970-01-03", end="1970-01-04", step_hours=12)
    raw = read_store(save(dataset(), tmp_path), settings, None)
    assert raw.hours.tolist() == [48, 60, 72, 84]
    check(raw)


def test_packed_values_and_missing_ones_are_decoded(tmp_path):
    data = dataset()
    data["t"] = data["t"].where(data["longitude"] > 50)
    packing = {"t": {"dtype": "int16", "scale_factor": 0.02, "add_offset": 240.0, "_FillValue": -1}}
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=packing)
    raw = read_store([tmp_path / "a.nc"], fields(), None)
    assert np.isnan(raw.fields[..., :2]).all()
    expected = known(HOURS, LATITUDES, LONGITUDES)
    np.testing.assert_allclose(raw.fields[:, 0, :, 2:], expected[..., 2:], atol=0.011)


def test_what_computed_the_fields_of_a_store_is_said(tmp_path):
    files = save(dataset(), tmp_path)
    assert read_store(files, fields(), None).simulation == ""
    model = "MPI-ESM1-2-HR, historical"
    assert read_store(files, fields(simulation=model), None).simulation == model


def test_netcdf_3_is_read(tmp_path):
    dataset().to_netcdf(tmp_path / "a.nc", engine="scipy")
    check(read_store([tmp_path / "a.nc"], fields(), None))


def test_orography_and_land_come_with_the_fields(tmp_path):
    data = dataset(latitudes=LATITUDES[::-1])
    height = xr.DataArray(np.arange(32.0).reshape(4, 8), dims=("latitude", "longitude"))
    data["zs"] = (height * 9.80665).assign_attrs(units="m2 s-2")
    data["lsm"] = height / 31
    settings = fields(orography="zs", orography_is_geopotential=True, land="lsm")
    raw = read_store(save(data, tmp_path), settings, None)
    np.testing.assert_allclose(raw.orography, height.values[::-1], rtol=1e-6)
    assert raw.land.max() == 1


def test_a_large_store_is_streamed_into_a_mapped_file(tmp_path, monkeypatch):
    monkeypatch.setattr("flowsci.domains.weather.raw.IN_MEMORY_BYTES", 1000)
    raw = read_store(save(dataset(), tmp_path, "a.zarr"), fields(), None)
    assert isinstance(raw.fields, np.memmap)
    check(raw)


def test_a_folder_of_temporary_files_that_is_full_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("flowsci.domains.weather.raw.IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = save(dataset(), tmp_path, "a.zarr")

    def full(file, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    message = r"need 1.02e-05 GB of temporary room .* No space left on device. Set TMPDIR"
    with pytest.raises(FlowsciError, match=f"{re.escape(str(tmp_path))}: the fields {message}"):
        read_store(files, fields(), None)


def test_axes_of_size_one_are_taken_off(tmp_path):
    data = dataset().expand_dims("number", axis=1)
    check(read_store(save(data, tmp_path), fields(), None))


def twice(folder):
    return save(dataset([0, 6, 6, 12]), folder)


def unordered(folder):
    return save(dataset([0, 12, 6, 18]), folder)


def in_two_files(folder):
    return save(dataset(), folder, "a.nc") + save(dataset(HOURS[-3:]), folder, "b.nc")


def half_hours(folder):
    return save(dataset(HOURS + 0.5), folder)


def no_units_of_time(folder):
    data = dataset()
    data["time"].attrs = {}
    return save(data, folder)


def a_number_as_units_of_time(folder):
    data = dataset()
    data["time"].attrs["units"] = 5
    return save(data, folder)


def an_empty_axis_of_time(folder):
    return save(dataset([]), folder)


def other_grid(folder):
    later = dataset(HOURS + 480, latitudes=LATITUDES / 2)
    return save(dataset(), folder, "a.nc") + save(later, folder, "b.nc")


def other_calendar(folder):
    later = dataset(HOURS + 480, calendar="noleap")
    return save(dataset(), folder, "a.nc") + save(later, folder, "b.nc")


def repeated_longitude(folder):
    return save(dataset(longitudes=np.arange(9) * 45.0), folder)


def missing_time(folder):
    data = dataset()
    times = HOURS.astype(float)
    times[3] = np.nan
    return save(data.assign_coords(time=("time", times, data["time"].attrs)), folder)


def unknown_units_of_time(folder):
    data = dataset()
    data["time"].attrs["units"] = "fortnights since 1970-01-01"
    return save(data, folder)


def unknown_calendar(folder):
    return save(dataset(calendar="martian"), folder)


def one_column(folder):
    return save(dataset(longitudes=[0.0]), folder)


def latitudes_beyond_the_poles(folder):
    return save(dataset(latitudes=LATITUDES * 2), folder)


def repeated_latitude(folder):
    return save(dataset(latitudes=np.array([0.0, 10, 10, 20]), longitudes=LONGITUDES[:4]), folder)


def no_times(folder):
    return save(dataset().isel(time=0), folder)


def a_text(folder):
    (folder / "readme.txt").write_text("no data")
    return [folder / "readme.txt", *save(dataset(), folder)]


def cdf_5(folder):
    (folder / "a.nc").write_bytes(b"CDF\x05" + b"\0" * 100)
    return [folder / "a.nc"]


def curvilinear(folder):
    return save(dataset().rename(latitude="j").drop_vars("j"), folder)


def many_members(folder):
    data = xr.concat([dataset(), dataset()], "number")
    return save(data, folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (twice, r"a.nc: t: the time 1970-01-01T06 comes twice"),
        (unordered, r"a.nc: t: the time 1970-01-01T06 comes after a later one"),
        (in_two_files, r"b.nc: t: the time 1970-01-20T06 is in .*a.nc: t too"),
        (half_hours, r"a.nc: t: the time 1970-01-\d\d .* is no whole hour"),
        (no_units_of_time, r"a.nc: t: its time has no units"),
        (a_number_as_units_of_time, r"a.nc: t: its time has no units"),
        (an_empty_axis_of_time, r"a.nc: t: has no times. Complete the file"),
        (missing_time, r"a.nc: t: time number 3 \(from 0\) is missing. Take it out"),
        (unknown_units_of_time, r"a.nc: t: its times \('fortnights since .* cannot be read"),
        (unknown_calendar, r"a.nc: t: its times .* no calendar 'martian'; CF has"),
        (one_column, r"a.nc: t: A grid needs at least 2 longitudes"),
        (latitudes_beyond_the_poles, r"a.nc: t: Latitudes must lie between .* one is -135"),
        (repeated_latitude, r"a.nc: t: The latitudes of a grid must ascend, each once"),
        (no_times, r"a.nc: t: has no time axis; it has: latitude, longitude"),
        (other_grid, r"b.nc: t: is on another grid \(region, 4 x 8, -33.75 .* than .*a.nc: t"),
        (other_calendar, r"b.nc: t: has the calendar noleap, .*a.nc: t has standard"),
        (repeated_longitude, r"a.nc: t: the longitude 0 comes twice"),
        (a_text, r"readme.txt: is neither NetCDF nor part of a Zarr store"),
        (cdf_5, r"a.nc: is NetCDF of 64-bit data \(CDF-5\), .* 'nccopy -k nc4'"),
        (curvilinear, r"a.nc: t: needs latitude and longitude along axes"),
        (many_members, r"a.nc: t: has an axis that isn't known: number"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path, make, message):
    with pytest.raises(FlowsciError, match=message):
        read_store(make(tmp_path), fields(), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_name": "tas"}, r"no file has a variable 'tas'; there are: ta"),
        ({"units": "degC"}, r"a.nc: ta: is in 'K', the dataset file says 'degC'"),
        ({"level_hpa": 700}, r"a.nc: ta: has no level of 700 hPa; it has: 500, 850"),
        ({"level_hpa": None}, r"a.nc: ta: has 2 levels; give level_hpa"),
    ],
)
def test_what_a_dataset_file_asks_in_vain_is_named(tmp_path, changes, message):
    with pytest.raises(FlowsciError, match=message):
        read_store(save(with_levels(), tmp_path), fields(ON_LEVELS | changes), None)


def test_a_level_of_a_field_without_levels_is_named(tmp_path):
    wanted = {"name": "t_850", "source_name": "t", "units": "K", "level_hpa": 850}
    with pytest.raises(FlowsciError, match="has no levels; leave level_hpa out"):
        read_store(save(dataset(), tmp_path), fields(wanted), None)


def test_variables_with_other_times_are_named(tmp_path):
    files = save(dataset(), tmp_path, "a.nc")
    files += save(dataset(HOURS[:-1], name="p", units="Pa"), tmp_path, "b.nc")
    wanted = (
        {"name": "temperature", "source_name": "t", "units": "K"},
        {"name": "pressure", "source_name": "p", "units": "Pa"},
    )
    with pytest.raises(FlowsciError, match=r"pressure: lacks 1 of the times .* 1970-01-20T18"):
        read_store(files, fields(*wanted), None)


def test_a_range_without_a_time_is_named(tmp_path):
    with pytest.raises(FlowsciError, match=r"no time is left between fields\.start"):
        read_store(save(dataset(), tmp_path), fields(start="1999-01-01"), None)


def test_a_date_that_the_calendar_lacks_is_named(tmp_path):
    with pytest.raises(FlowsciError, match=r"fields.start, fields.end: The date 1970-02-30 .*a.nc"):
        read_store(save(dataset(), tmp_path), fields(start="1970-02-30"), None)


def test_what_breaks_while_fields_are_read_is_named(tmp_path):
    files = save(dataset(), tmp_path, "a.zarr")
    for path in files:
        if path.parent.name == "t" and not path.name.startswith("."):
            path.write_bytes(b"\1\2\3")
    with pytest.raises(FlowsciError, match=r"a.zarr: the fields cannot be read: .* Fetch what is"):
        read_store(files, fields(), None)


SURFACE = xr.DataArray(np.linspace(0, 1, 32).reshape(4, 8), dims=("latitude", "longitude"))


@pytest.mark.parametrize(
    ("surface", "settings", "message"),
    [
        (
            {"z": SURFACE.assign_attrs(units="m2 s-2")},
            {"orography": "z"},
            r"a.nc: z: is in 'm2 s-2', not in 'm'. Set fields.orography_is_geopotential to true",
        ),
        (
            {"z": SURFACE.assign_attrs(units="m")},
            {"orography": "z", "orography_is_geopotential": True},
            r"a.nc: z: is in 'm', not in 'm2 s-2'. Set fields.orography_is_geopotential to false",
        ),
        (
            {"z": SURFACE.assign_attrs(units="km")},
            {"orography": "z"},
            r"a.nc: z: is in 'km', not in 'm'. Convert the file",
        ),
        (
            {"z": 50_000 * SURFACE},
            {"orography": "z"},
            r"a.nc: z: is in '', not in 'm'. Write its units into the file",
        ),
        (
            {"z": (50_000 * SURFACE).assign_attrs(units="m")},
            {"orography": "z"},
            r"a.nc: z: reaches 50000 m; no ground does. Correct",
        ),
        (
            {"z": (5e5 * SURFACE).assign_attrs(units="m2 s-2")},
            {"orography": "z", "orography_is_geopotential": True},
            r"a.nc: z: reaches 50986 m",
        ),
        ({"lsm": 100 * SURFACE}, {"land": "lsm"}, r"a.nc: lsm: a share .* runs from 0 to 100"),
        (
            {"lsm": SURFACE.where(SURFACE > 0.1)},
            {"land": "lsm"},
            r"a.nc: lsm: has cells without a value. Fill them",
        ),
        ({}, {"land": "lsm"}, r"fields.orography, fields.land: no file has .*'lsm'; there are: t"),
    ],
)
def test_surfaces_that_cannot_be_used_are_named(tmp_path, surface, settings, message):
    with pytest.raises(FlowsciError, match=message):
        read_store(save(dataset().assign(surface), tmp_path), fields(**settings), None)


def test_a_surface_of_other_places_is_named_though_its_shape_is_the_same(tmp_path):
    files = save(dataset(), tmp_path, "a.nc")
    static = dataset(longitudes=LONGITUDES + 10, name="lsm").isel(time=0, drop=True)
    static["lsm"] = static["lsm"] * 0
    files += save(static, tmp_path, "static.nc")
    with pytest.raises(FlowsciError, match=r"static.nc: lsm: is on another grid .*10 to 325 E"):
        read_store(files, fields(land="lsm"), None)
    same = dataset(name="lsm", latitudes=LATITUDES[::-1]).isel(time=0, drop=True)
    same["lsm"] = same["lsm"] * 0 + 1
    files[1] = save(same, tmp_path, "static.nc")[0]
    assert read_store(files, fields(land="lsm"), None).land.min() == 1


def test_fields_of_a_store_are_held_to_a_truncation_that_is_named(tmp_path):
    raw = read_store(save(dataset(), tmp_path), fields(truncation=3), None)
    assert raw.truncation == 3
    assert read_store([tmp_path / "a.nc"], fields(), None).truncation is None


WINDS = [
    {"name": n, "source_name": "t", "units": "K", "vector": n, "partner": p}
    for n, p in (("u", "v"), ("v", "u"))
]


@pytest.mark.parametrize(
    ("axes", "variables", "message"),
    [
        ({}, (), r"4 is more than the grid \(regular, 4 x 8, .* lower it to at most 3"),
        ({"longitudes": np.arange(6) * 60.0}, (), r"lower it to at most 2"),
        ({"latitudes": np.linspace(-90, 90, 5)}, (), r"regular_poles, .* lower it to at most 3"),
        (
            {"longitudes": LONGITUDES[:4]},
            (),
            r"need the whole globe; the grid is \(region, .* Remove the key",
        ),
        (
            {"latitudes": np.linspace(-90, 90, 7), "longitudes": np.arange(12) * 30.0},
            WINDS,
            r"the wind u has no direction on a row that lies on a pole",
        ),
    ],
)
def test_truncations_that_a_grid_cannot_carry_are_refused(tmp_path, axes, variables, message):
    with pytest.raises(FlowsciError, match=f"fields.truncation: .*{message}"):
        read_store(save(dataset(**axes), tmp_path), fields(*variables, truncation=4), None)


def test_a_region_without_cells_is_named(tmp_path):
    box = {"south": 1, "north": 2, "west": 1, "east": 2}
    with pytest.raises(FlowsciError, match="region holds fewer than 2 x 2 cells"):
        read_store(save(dataset(), tmp_path), fields(region=box), None)


def test_a_store_that_is_none_is_named(tmp_path):
    with pytest.raises(FlowsciError, match="is no Zarr store that can be read"):
        read_store([], fields(), str(tmp_path / "none.zarr"))
    with pytest.raises(FlowsciError, match="no_such_protocol"):
        read_store([], fields(), "no_such_protocol://bucket/a.zarr")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(FlowsciError, match=r"a.nc: cannot be read"):
        read_store([tmp_path / "a.nc"], fields(), None)


@pytest.mark.parametrize(
    ("stated", "wanted", "same"),
    [
        ("m**2 s**-2", "m2 s-2", True),
        ("m^2 s^-2", "s-2 m2", True),
        ("K", "degC", False),
        ("kg kg**-1", "kg kg-1", True),
        ("", "K", False),
    ],
)
def test_units_are_compared_not_converted(stated, wanted, same):
    from flowsci.domains.weather.readers.axes import same_units

    assert same_units(stated, wanted) is same


def test_rows_and_columns_of_a_map_are_no_degrees(tmp_path):
    data = dataset().rename(latitude="y", longitude="x").drop_vars(["y", "x"])
    with pytest.raises(FlowsciError, match="needs latitude and longitude along axes of their own"):
        read_store(save(data, tmp_path), fields(), None)
