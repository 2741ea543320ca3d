"""Sampled futures of a few scenes as lines for maps (GeoJSON, RFC 7946)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from flowsci.domains.trajectories.export.places import to_degrees

NAME = "scenes.geojson"
SCENES = 6


def write_geojson(
    samples: xr.Dataset, agents: pd.DataFrame, attributes: Mapping[str, Any], path: Path
) -> None:
    """Draw a few scenes, evenly spaced in time, as lines of longitude, latitude and metres."""
    scenes = np.unique(samples["scene"].values)
    chosen = scenes[np.linspace(0, len(scenes) - 1, min(len(scenes), SCENES)).astype(int)]
    part = samples.isel(row=np.flatnonzero(np.isin(samples["scene"].values, chosen)))
    positions = part["positions"].values
    longitude, latitude = to_degrees(positions, attributes)
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
        probability = part["probability"].values[row]
        features += [
            {
                "type": "Feature",
                "properties": {**properties, "sample": sample, "probability": float(share)},
                "geometry": {"type": "LineString", "coordinates": line.tolist()},
            }
            for sample, (line, share) in enumerate(zip(futures, probability, strict=True))
        ]
    collection = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(collection) + "\n", encoding="utf-8")


def _iso(seconds: float) -> str:
    return f"{np.datetime64(round(1000 * seconds), 'ms')}Z"
