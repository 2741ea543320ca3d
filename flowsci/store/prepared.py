"""Prepared datasets on disk: `prepared.zarr`, `manifest.json`, `card.md`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.errors import FlowsciError
from flowsci.store import cards, checksums, manifests

if TYPE_CHECKING:
    import xarray

KIND = "prepared dataset"


@dataclass(frozen=True)
class Prepared:
    """A dataset ready for training.

    `arrays` holds every split; `counts` says what was kept and what was dropped, by reason;
    `statistics` are what a model needs to be used without the data (scales, factors of units);
    `units` names the unit of each array; `description` is Markdown for the card.
    """

    arrays: "xarray.Dataset"
    counts: Mapping[str, Any]
    statistics: Mapping[str, Any]
    units: Mapping[str, str]
    description: str = ""


def write_prepared(folder: Path, prepared: Prepared, about: Mapping[str, Any]) -> None:
    """Write a prepared dataset; `about` gives domain, name, title, licence and provenance."""
    prepared.arrays.to_zarr(folder / "prepared.zarr", zarr_format=3, consolidated=False)
    manifest = {
        "format": manifests.FORMAT,
        "kind": KIND,
        **about,
        "description": prepared.description,
        "counts": dict(prepared.counts),
        "statistics": dict(prepared.statistics),
        "units": dict(prepared.units),
        "files": {"prepared.zarr": {"sha256": checksums.of_folder(folder / "prepared.zarr")}},
    }
    manifests.write(folder, manifest)
    cards.write(folder, manifest)


def open_prepared(folder: Path, domain: str) -> tuple[Prepared, Mapping[str, Any]]:
    """Open a prepared dataset and its manifest; arrays are read when they are used.

    Raises `FlowsciError` where the folder is none of this domain's prepared datasets, or where the
    arrays are not those that the manifest describes (a missing chunk would be read as NaN).
    """
    import xarray

    manifest = manifests.read(folder, KIND, domain)
    _verify(folder / "prepared.zarr", manifest["files"]["prepared.zarr"]["sha256"])
    try:
        arrays = xarray.open_zarr(folder / "prepared.zarr", chunks=None, consolidated=False)
    except (OSError, ValueError, KeyError) as error:
        raise FlowsciError(f"{folder}: prepared.zarr cannot be opened: {error}.") from None
    record = ("counts", "statistics", "units", "description")
    return Prepared(arrays, *(manifest[key] for key in record)), manifest


def _verify(arrays: Path, expected: str) -> None:
    found = checksums.of_folder(arrays)
    if found != expected:
        raise FlowsciError(
            f"{arrays}: is not what the manifest beside it describes (expected sha256 {expected}, "
            f"found {found}). Delete the folder above it and prepare the dataset again."
        )
