"""Generated ensembles: decoded tensors, and the files of a generated dataset."""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from flowsci.domains.weather.export import files, layout
from flowsci.domains.weather.export.decode import decode
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

__all__ = ["Generated", "decode", "export", "read_samples"]

ENSEMBLE, ZARR, MEAN_HEAD = "ensemble.nc", "ensemble.zarr", "mean_head.nc"


@dataclass(frozen=True)
class Generated:
    """A generated dataset, opened lazily.

    Both are CF datasets with a variable for each channel, as `layout` makes them.
    """

    ensemble: xr.Dataset
    mean_head: xr.Dataset | None = None


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the samples, whose rows are as `decode` gives them, as CF NetCDF and Zarr."""
    ensemble = layout.ensemble(samples, prepared)
    files.write_netcdf(ensemble, folder / ENSEMBLE)
    files.write_zarr(ensemble, folder / ZARR)
    label = prepared.arrays.attrs.get("simulation", "")
    learned = f" The model learned from a simulation ({label})." if label else ""
    written = {
        ENSEMBLE: f"The ensembles as CF-1.8 NetCDF 4, a variable for each field.{learned}",
        ZARR: f"The same as Zarr 3; each chunk is one time, lead and member.{learned}",
    }
    if "mean" in samples:
        files.write_netcdf(layout.mean_head(samples, prepared), folder / MEAN_HEAD)
        written[MEAN_HEAD] = (
            "The model's deterministic forecast at the first lead, and the standard deviation of "
            "its error on the validation split by row of the grid."
        )
    units = {channel["name"]: channel["units"] for channel in prepared.statistics["channels"]}
    return Exported(written, units)


def read_samples(folder: Path) -> Generated:
    """Open what `export` wrote; fields are read when they are used."""
    mean = folder / MEAN_HEAD
    return Generated(files.read(folder / ENSEMBLE), files.read(mean) if mean.exists() else None)
