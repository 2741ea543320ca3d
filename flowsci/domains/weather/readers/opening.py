"""NetCDF files and Zarr stores as lazy datasets, each with the name that errors call it by."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from flowsci.errors import FlowsciError

ZARR_GROUPS = (".zgroup", ".zmetadata", "zarr.json")
ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}
CDF_5 = b"CDF\x05"


def open_files(files: Sequence[Path]) -> dict[str, xr.Dataset]:
    """Open the NetCDF files and Zarr stores among the files of a source, in order of names.

    Times aren't decoded. Raises `FlowsciError` naming a file that is neither.
    """
    stores = zarr_stores(files)
    inside = [path for path in files if any(store in path.parents for store in stores)]
    alone = [path for path in files if path not in inside]
    opened = {str(path): _open_netcdf(path) for path in alone}
    return opened | {str(store): open_store(str(store)) for store in stores}


def zarr_stores(files: Sequence[Path]) -> list[Path]:
    """Find the outermost folders that hold a Zarr group."""
    found: list[Path] = []
    for folder in sorted({path.parent for path in files if path.name in ZARR_GROUPS}):
        if not any(known == folder or known in folder.parents for known in found):
            found.append(folder)
    return found


def open_store(address: str) -> xr.Dataset:
    """Open a Zarr store at a path, or at an address such as gs://bucket/store.zarr."""
    remote = "://" in address
    options = {"token": "anon"} if address.startswith(("gs://", "gcs://")) else None
    try:
        return xr.open_zarr(address, storage_options=options, decode_times=False)
    except ImportError as error:
        raise FlowsciError(
            f"{address}: cannot be read in place: {error}. Install what reads it, such as gcsfs "
            "for gs:// or aiohttp for https://, or copy the store and name its folder."
        ) from None
    except Exception as error:
        if remote or isinstance(error, OSError | ValueError | KeyError):
            raise FlowsciError(
                f"{address}: is no Zarr store that can be read: {error}. Check the "
                "address, or fetch the store again."
            ) from None
        raise


def _open_netcdf(path: Path) -> xr.Dataset:
    with path.open("rb") as file:
        begins = file.read(4)
    if begins == CDF_5:
        raise FlowsciError(
            f"{path}: is NetCDF of 64-bit data (CDF-5), which isn't read. Convert it, as by "
            "'nccopy -k nc4'."
        )
    engine = ENGINES.get(begins)
    if engine is None:
        raise FlowsciError(
            f"{path}: is neither NetCDF nor part of a Zarr store. Take it out of the folder, or "
            "name the file that is meant."
        )
    try:
        return xr.open_dataset(path, engine=engine, decode_times=False, chunks="auto")
    except (OSError, ValueError, KeyError) as error:
        raise FlowsciError(
            f"{path}: cannot be read: {error}. Fetch it again, or take it out of the folder."
        ) from None
