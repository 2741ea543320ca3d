"""Generated datasets: shards that one job writes each, and the dataset that they merge into."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.errors import FlowsciError
from flowsci.store import cards, checksums, manifests

if TYPE_CHECKING:
    import xarray

KIND = "generated dataset"
SHARD_KIND = "shard of a generated dataset"
ROW = "row"


@dataclass(frozen=True)
class Exported:
    """What a domain wrote: what each file is, and the unit of each quantity in them."""

    files: Mapping[str, str]
    units: Mapping[str, str]


def shard_range(conditions: int, shard: int, shards: int) -> range:
    """Give the conditions of one shard (0-based); sizes differ by one at most."""
    if not 0 <= shard < shards:
        raise FlowsciError(f"There is no shard {shard}: the run has {shards}, counted from 0.")
    return range(shard * conditions // shards, (shard + 1) * conditions // shards)


def write_shard(folder: Path, parts: Iterable["xarray.Dataset"], about: Mapping[str, Any]) -> None:
    """Append datasets, as they come, along the dimension `row`."""
    path = folder / "samples.zarr"
    for part in parts:
        if path.exists():
            part.to_zarr(path, append_dim=ROW, consolidated=False)
        else:
            part.to_zarr(path, zarr_format=3, consolidated=False)
    manifests.write(folder, {"format": manifests.FORMAT, "kind": SHARD_KIND, **about})


def open_shards(folders: Sequence[Path], domain: str, key: str) -> "xarray.Dataset":
    """Join the shards of one run, in order, along the dimension `row`.

    `key` names model, data and settings; shards of another key, or missing ones, are an error.
    Arrays are read chunk by chunk when they are used: they may be larger than memory.
    """
    import xarray

    found = {}
    for folder in folders:
        manifest = manifests.read(folder, SHARD_KIND, domain)
        if manifest["key"] != key:
            raise FlowsciError(
                f"{folder}: was drawn with another model, data or settings; redo it."
            )
        found[manifest["shard"]] = (folder, manifest["shards"])
    expected = next(iter(found.values()))[1] if found else 0
    if sorted(found) != list(range(expected)):
        raise FlowsciError(f"Shards {sorted(found)} are given, 0 to {expected - 1} are needed.")
    opened = [
        xarray.open_zarr(found[shard][0] / "samples.zarr", chunks={}, consolidated=False)
        for shard in range(expected)
        if (found[shard][0] / "samples.zarr").exists()
    ]
    if not opened:
        raise FlowsciError("The shards hold no sample: there is no condition to sample for.")
    return xarray.concat(opened, dim=ROW, data_vars="all", coords="minimal", join="exact")


def finish_samples(folder: Path, exported: Exported, about: Mapping[str, Any]) -> None:
    """Write manifest and card of the files that a domain exported."""
    sums = checksums.of_tree(folder)
    manifest = {
        "format": manifests.FORMAT,
        "kind": KIND,
        **about,
        "units": dict(exported.units),
        "files": {
            name: {"description": text, "sha256": sums[name]}
            for name, text in exported.files.items()
        },
    }
    manifests.write(folder, manifest)
    cards.write(folder, manifest)
