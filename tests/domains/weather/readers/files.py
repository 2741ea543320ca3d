"""Small NetCDF files and Zarr stores of fields that are known, for tests."""

import numpy as np
import xarray as xr

from flowsci.domains.weather.data_settings import StoreFields

LATITUDES = np.array([-67.5, -22.5, 22.5, 67.5])
LONGITUDES = np.arange(8) * 45.0
LEVELS = np.array([500.0, 850.0])
HOURS = np.arange(0, 24 * 20, 6)


def known(hours, latitudes, longitudes, level=0.0):
    """Give the values (time, latitude, longitude) that every test file holds."""
    east = (np.asarray(longitudes) + 180) % 360 - 180
    rows = np.asarray(latitudes)[:, None]
    return (np.asarray(hours)[:, None, None] + rows * 0.01 + east * 0.001 + level).astype("f4")


def dataset(
    hours=HOURS,
    latitudes=LATITUDES,
    longitudes=LONGITUDES,
    name="t",
    units="K",
    calendar="standard",
):
    """Make a dataset of one variable at the surface."""
    axes = {
        "time": (
            "time",
            np.asarray(hours),
            {"units": "hours since 1970-01-01", "calendar": calendar},
        ),
        "latitude": ("latitude", np.asarray(latitudes), {"units": "degrees_north"}),
        "longitude": ("longitude", np.asarray(longitudes), {"units": "degrees_east"}),
    }
    values = known(hours, latitudes, longitudes)
    return xr.Dataset({name: (("time", "latitude", "longitude"), values, {"units": units})}, axes)


def with_levels(name="ta", units="K", pressure_units="hPa", factor=1.0):
    """Make a dataset of one variable on levels, pressure first."""
    base = dataset()
    values = np.stack([known(HOURS, LATITUDES, LONGITUDES, level) for level in LEVELS], axis=1)
    dims = ("time", "plev", "latitude", "longitude")
    plev = ("plev", LEVELS * factor, {"units": pressure_units, "standard_name": "air_pressure"})
    return (
        base.drop_vars("t")
        .assign({name: (dims, values, {"units": units})})
        .assign_coords(plev=plev)
    )


def save(data, folder, name="a.nc"):
    """Write a dataset as NetCDF, or as Zarr where the name ends so; give its files."""
    path = folder / name
    if name.endswith(".zarr"):
        data.to_zarr(path, zarr_format=2, consolidated=True)
        return sorted(p for p in path.rglob("*") if p.is_file())
    data.to_netcdf(path, engine="h5netcdf")
    return [path]


def fields(*variables, **changes):
    """Give settings that read variables, by default one at the surface."""
    wanted = variables or ({"name": "temperature", "source_name": "t", "units": "K"},)
    return StoreFields(variables=list(wanted), **changes)
