"""Sampled futures as a table in Parquet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from flowsci.domains.trajectories.export.places import is_geographic, to_degrees
from flowsci.errors import FlowsciError

NAME = "samples.parquet"
ROWS_A_GROUP = 512
ORDER = ["scene", "agent", "sample", "step"]

COUNTED: Mapping[str, tuple[pa.DataType, str, str]] = {
    "scene": (pa.int32(), "", "Number of the scene in the prepared dataset."),
    "recording": (pa.dictionary(pa.int32(), pa.string()), "", "Recording of the source."),
    "agent": (pa.int32(), "", "Number of the track; agents.csv names it."),
    "sample": (pa.int32(), "", "Equal numbers in a scene are one joint future of all its agents."),
    "step": (pa.int32(), "", "Step after the last observed one, from 1."),
    "probability": (pa.float32(), "1", "Probability of the sample among those of its agent."),
}
OF_SOME_MODELS: Mapping[str, tuple[pa.DataType, str, str]] = {
    "scene_probability": (
        pa.float32(),
        "1",
        "Probability of the joint sample among those of its scene.",
    ),
    "log_density": (
        pa.float32(),
        "1",
        "Logarithm, in nats, of the density of the agent's whole future, in the unit of length to "
        "the power -(steps * axes).",
    ),
}
TIMES: Mapping[bool, tuple[pa.DataType, str, str]] = {
    True: (pa.timestamp("ms", tz="UTC"), "", "Time of the position."),
    False: (
        pa.float64(),
        "s",
        "Time of the position on the clock of its recording, which starts where the source counts "
        "from: at frame 0, the first sequence, or the zero of the column time.",
    ),
}
PLACES: Mapping[str, tuple[pa.DataType, str, str]] = {
    "longitude": (pa.float64(), "degrees", "Longitude, WGS 84."),
    "latitude": (pa.float64(), "degrees", "Latitude, WGS 84."),
    "altitude": (pa.float32(), "m", "Barometric altitude."),
}
AXES = {
    "east": "East of the origin, azimuthal equidistant.",
    "north": "North of the origin, azimuthal equidistant.",
    "up": "Barometric altitude.",
}


def columns_of(
    samples: xr.Dataset, attributes: Mapping[str, Any]
) -> dict[str, tuple[pa.DataType, str, str]]:
    """Give type, unit and meaning of each column of samples from a dataset of these attributes."""
    geographic, unit = is_geographic(attributes), attributes["length_unit"]
    return {
        **COUNTED,
        **{name: column for name, column in OF_SOME_MODELS.items() if name in samples},
        "time": TIMES[geographic],
        **(PLACES if geographic else {}),
        **{
            axis: (pa.float32(), unit, AXES.get(axis, f"Position along {axis}."))
            for axis in attributes["axes"]
        },
    }


def write_table(samples: xr.Dataset, attributes: Mapping[str, Any], path: Path) -> None:
    """Write a row for each scene, agent, sample and step, a few agents at a time."""
    schema = _schema(samples, attributes)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, samples.sizes["row"], ROWS_A_GROUP):
            part = samples.isel(row=slice(first, first + ROWS_A_GROUP))
            writer.write_table(_table(part, attributes, schema))


def read_table(path: Path) -> pd.DataFrame:
    """Read the samples, ordered by scene, agent, sample and step."""
    try:
        table = pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}. Sample again.") from None
    missing = [name for name in [*COUNTED, "time"] if name not in table]
    if missing:
        raise FlowsciError(f"{path}: lacks the columns {', '.join(missing)}. Sample again.")
    return table.sort_values(ORDER, ignore_index=True)


def times_of(samples: xr.Dataset, attributes: Mapping[str, Any]) -> np.ndarray:
    """Give the times (rows, steps) of the positions in s, as `samples` counts them."""
    lead = np.arange(1, samples.sizes["step"] + 1)
    return samples["time"].values[:, None] + lead * attributes["step_seconds"]


def _schema(samples: xr.Dataset, attributes: Mapping[str, Any]) -> pa.Schema:
    fields = []
    for name, (kind, unit, meaning) in columns_of(samples, attributes).items():
        metadata = {"description": meaning, **({"units": unit} if unit else {})}
        fields.append(pa.field(name, kind, nullable=False, metadata=metadata))
    return pa.schema(fields, metadata=_about(attributes))


def _about(attributes: Mapping[str, Any]) -> dict[str, str]:
    if not is_geographic(attributes):
        return {}
    latitude, longitude = (attributes[f"origin_{n}_degrees"] for n in ("latitude", "longitude"))
    return {"origin": f"{latitude} N, {longitude} E", "crs": "WGS 84 and local aeqd"}


def _table(part: xr.Dataset, attributes: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    rows, samples, steps, _ = part["positions"].shape
    flat = part["positions"].values.reshape(rows * samples * steps, -1)
    times = np.repeat(times_of(part, attributes), samples, axis=0).ravel()
    of_rows, of_samples = ("scene", "recording", "agent"), ("probability", *OF_SOME_MODELS)
    values = {
        **{name: np.repeat(part[name].values, samples * steps) for name in of_rows},
        "sample": np.tile(np.repeat(np.arange(samples), steps), rows),
        "step": np.tile(np.arange(1, steps + 1), rows * samples),
        **{n: np.repeat(part[n].values.ravel(), steps) for n in of_samples if n in part},
        "time": times,
        **dict(zip(attributes["axes"], flat.T, strict=True)),
    }
    if is_geographic(attributes):
        values["longitude"], values["latitude"] = to_degrees(flat, attributes)
        values["altitude"] = flat[:, 2] * 1000
    arrays = [_array(values[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(np.round(1000 * values).astype("datetime64[ms]")).cast(kind)
    if pa.types.is_dictionary(kind):
        return pa.array(values.astype(object), kind)
    return pa.array(values.astype(kind.to_pandas_dtype()))
