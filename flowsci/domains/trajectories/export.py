"""Sampled futures as rows, as Parquet and as GeoJSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from pyproj import Transformer

from flowsci.domains.contract import Batch
from flowsci.domains.trajectories.prepare import projection
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

TABLE = "samples.parquet"
AGENTS = "agents.csv"
SCENES = "scenes.geojson"
SCENES_IN_GEOJSON = 6
ROWS_A_GROUP = 512

COLUMNS: Mapping[str, tuple[pa.DataType, str, str]] = {
    "scene": (pa.int32(), "", "Number of the scene in the prepared dataset."),
    "agent": (pa.int32(), "", f"Number of the flight; {AGENTS} names it."),
    "sample": (pa.int32(), "", "Equal numbers in a scene are one joint future of all its agents."),
    "step": (pa.int32(), "", "Step after the last observed one, from 1."),
    "time": (pa.timestamp("ms", tz="UTC"), "", "Time of the position."),
    "longitude": (pa.float64(), "degrees", "Longitude, WGS 84."),
    "latitude": (pa.float64(), "degrees", "Latitude, WGS 84."),
    "altitude": (pa.float32(), "m", "Barometric altitude."),
    "east": (pa.float32(), "km", "East of the origin, azimuthal equidistant."),
    "north": (pa.float32(), "km", "North of the origin, azimuthal equidistant."),
    "up": (pa.float32(), "km", "Barometric altitude."),
}


def decode(samples: Mapping[str, Any], batch: Batch) -> xr.Dataset:
    """Give a row for each agent of each scene: positions (row, sample, step, axis) in km."""
    real = batch["mask"]
    scene, agent = real.nonzero(as_tuple=True)
    positions = samples["positions"][scene, :, agent]
    return xr.Dataset(
        {
            "positions": (("row", "sample", "step", "axis"), positions.numpy()),
            "scene": ("row", batch["id"][scene].numpy()),
            "agent": ("row", batch["flight"][real].numpy()),
            "time": ("row", batch["time"][scene].numpy()),
        }
    )


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the samples; `samples` has rows as `decode` gives them."""
    attributes = prepared.arrays.attrs
    schema = _schema(attributes)
    with pq.ParquetWriter(folder / TABLE, schema, compression="zstd") as writer:
        for first in range(0, samples.sizes["row"], ROWS_A_GROUP):
            part = samples.isel(row=slice(first, first + ROWS_A_GROUP))
            writer.write_table(_table(part, attributes, schema))
    flights = np.unique(samples["agent"].values)
    names = prepared.arrays[["aircraft", "callsign"]].isel(flight=flights)
    agents = pd.DataFrame({"agent": flights, **{n: names[n].values for n in names}})
    agents.to_csv(folder / AGENTS, index=False)
    collection = _geojson(samples, agents, attributes)
    (folder / SCENES).write_text(json.dumps(collection) + "\n", encoding="utf-8")
    files = {
        TABLE: "Sampled futures, a row for each scene, agent, sample and step; units stand in the "
        "metadata of the columns.",
        AGENTS: "Aircraft (ICAO 24-bit address) and callsign of each agent.",
        SCENES: "Sampled futures of a few scenes as lines, for maps (GeoJSON, RFC 7946).",
    }
    units = {name: unit for name, (_, unit, _) in COLUMNS.items() if unit}
    return Exported(files, {**units, "coordinates": "degrees, degrees, m"})


def read_samples(folder: Path) -> pd.DataFrame:
    """Read the samples as a table, ordered by scene, agent, sample and step."""
    try:
        table = pd.read_parquet(folder / TABLE)
    except (OSError, pa.ArrowException) as error:
        raise FlowsciError(f"{folder / TABLE}: cannot be read: {error}. Sample again.") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise FlowsciError(f"{folder / TABLE}: lacks the columns {', '.join(missing)}.")
    return table.sort_values(["scene", "agent", "sample", "step"], ignore_index=True)


def _schema(attributes: Mapping[str, Any]) -> pa.Schema:
    fields = []
    for name, (kind, unit, meaning) in COLUMNS.items():
        metadata = {"description": meaning, **({"units": unit} if unit else {})}
        fields.append(pa.field(name, kind, nullable=False, metadata=metadata))
    latitude, longitude = (attributes[f"origin_{n}_degrees"] for n in ("latitude", "longitude"))
    about = {"origin": f"{latitude} N, {longitude} E", "crs": "WGS 84 and local aeqd"}
    return pa.schema(fields, metadata=about)


def _inverse(attributes: Mapping[str, Any]) -> Transformer:
    return projection(attributes["origin_longitude_degrees"], attributes["origin_latitude_degrees"])


def _to_degrees(positions: np.ndarray, attributes: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Give longitude and latitude of positions (..., 3) in km."""
    metres = positions[..., :2].astype(np.float64) * 1000
    transformer = _inverse(attributes)
    return transformer.transform(metres[..., 0], metres[..., 1], direction="INVERSE")


def _table(part: xr.Dataset, attributes: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    positions = part["positions"].values
    rows, samples, steps, _ = positions.shape
    lead = np.arange(1, steps + 1)
    time = part["time"].values[:, None] + lead * attributes["step_seconds"]
    flat = positions.reshape(-1, 3)
    longitude, latitude = _to_degrees(flat, attributes)
    values = {
        "scene": np.repeat(part["scene"].values, samples * steps),
        "agent": np.repeat(part["agent"].values, samples * steps),
        "sample": np.tile(np.repeat(np.arange(samples), steps), rows),
        "step": np.tile(lead, rows * samples),
        "time": np.repeat(time, samples, axis=0).ravel().astype("datetime64[s]"),
        "longitude": longitude,
        "latitude": latitude,
        "altitude": flat[:, 2] * 1000,
        "east": flat[:, 0],
        "north": flat[:, 1],
        "up": flat[:, 2],
    }
    arrays = [
        pa.array(values[field.name])
        .cast(pa.timestamp("s"))
        .cast(pa.timestamp("ms"))
        .cast(field.type)
        if field.name == "time"
        else pa.array(values[field.name].astype(field.type.to_pandas_dtype()))
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _geojson(
    samples: xr.Dataset, agents: pd.DataFrame, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw a few scenes, evenly spaced in time, as lines of longitude, latitude and metres."""
    scenes = np.unique(samples["scene"].values)
    count = min(len(scenes), SCENES_IN_GEOJSON)
    chosen = scenes[np.linspace(0, len(scenes) - 1, count).astype(int)]
    rows = np.flatnonzero(np.isin(samples["scene"].values, chosen))
    part = samples.isel(row=rows)
    positions = part["positions"].values
    longitude, latitude = _to_degrees(positions, attributes)
    metres = positions[..., 2] * 1000
    lines = np.stack([longitude.round(6), latitude.round(6), metres.round(1).astype(float)], -1)
    names = agents.set_index("agent").to_dict("index")
    features = []
    for row, futures in enumerate(lines):
        agent = int(part["agent"].values[row])
        properties = {
            "scene": int(part["scene"].values[row]),
            "agent": agent,
            **names[agent],
            "first_time": _iso(part["time"].values[row] + attributes["step_seconds"]),
            "step_seconds": attributes["step_seconds"],
        }
        features += [
            {
                "type": "Feature",
                "properties": {**properties, "sample": sample},
                "geometry": {"type": "LineString", "coordinates": line.tolist()},
            }
            for sample, line in enumerate(futures)
        ]
    return {"type": "FeatureCollection", "features": features}


def _iso(seconds: int) -> str:
    return f"{np.datetime64(int(seconds), 's')}Z"
