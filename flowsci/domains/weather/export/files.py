"""CF datasets as NetCDF and Zarr files, written and read a part at a time."""

from pathlib import Path
from typing import Any

import dask
import xarray as xr

from flowsci.domains.weather.export.layout import BOX, SPACE
from flowsci.errors import FlowsciError


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write NetCDF 4; a chunk holds one time, lead and member."""
    encoding = {name: _plain(v) for name, v in dataset.variables.items()}
    for name in _fields(dataset):
        variable = dataset[name]
        encoding[name] |= {"zlib": True, "complevel": 1, "shuffle": True}
        encoding[name]["chunksizes"] = _chunk(variable)
    # one thread, so that no more than a few starts are in memory
    with dask.config.set(scheduler="synchronous"):
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def write_zarr(dataset: xr.Dataset, path: Path) -> None:
    """Write Zarr 3; a chunk holds one time, lead and member, a file all chunks of a time."""
    encoding = {name: _plain(v) for name, v in dataset.variables.items()}
    for name in _fields(dataset):
        variable = dataset[name]
        encoding[name]["chunks"] = _chunk(variable)
        encoding[name]["shards"] = (1, *variable.shape[1:])
    with dask.config.set(scheduler="synchronous"):
        dataset.to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)


def read(path: Path) -> xr.Dataset:
    """Open a file that `write_netcdf` wrote; fields are read when they are used.

    Times stay numbers of hours, in the calendar that the file names.
    """
    try:
        return xr.open_dataset(path, engine="h5netcdf", decode_times=False, decode_timedelta=False)
    except (OSError, ValueError) as error:
        raise FlowsciError(f"{path}: cannot be opened: {error}. Sample again.") from None


def _fields(dataset: xr.Dataset) -> list[str]:
    maps = {str(n): v for n, v in dataset.data_vars.items() if v.dims[-2:] in (SPACE, BOX)}
    return [name for name, variable in maps.items() if variable.ndim > 2]


def _chunk(variable: xr.DataArray) -> tuple[int, ...]:
    return (*(1 for _ in variable.shape[:-2]), *variable.shape[-2:])


def _plain(variable: xr.Variable) -> dict[str, Any]:
    return {} if variable.dtype.kind == "f" and variable.ndim > 2 else {"_FillValue": None}
