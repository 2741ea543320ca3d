"""From reports to flights, tracks on a clock, and scenes with a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import torch
import xarray as xr

from flowsci.domains.trajectories.record import AXES, SPLITS, Scenes
from flowsci.domains.trajectories.settings import TrackSettings, TrajectoriesData, WindowSettings
from flowsci.domains.trajectories.sources import read_reports
from flowsci.domains.trajectories.statistics import fit_statistics
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

UNITS = {
    "east": "km",
    "north": "km",
    "up": "km",
    "time": "s since 1970-01-01T00:00:00Z",
    "scene_time": "s since 1970-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class Tracks:
    """Points of flights on a common clock, flight by flight.

    `points` has the columns time (s, integer), east, north, up (km) and flight; `flights` the
    columns aircraft and callsign.
    """

    points: pd.DataFrame
    flights: pd.DataFrame


def prepare(files: Sequence[Path], settings: TrajectoriesData) -> Prepared:
    """Make the dataset from ADS-B files; raise `FlowsciError` where nothing is left of them."""
    reports = read_reports(files, settings.cleaning)
    tracks, missing = make_tracks(reports.table, settings.tracks)
    splits = split_aircraft(tracks.flights["aircraft"], settings)
    windows, dropped = find_windows(tracks, settings.windows, settings.tracks.clock_seconds, splits)
    if windows.empty:
        raise FlowsciError(_nothing_left(files, reports.rows, reports.dropped, dropped))
    arrays = to_dataset(tracks, windows, splits, settings)
    for split in SPLITS:
        Scenes.of_split(arrays, split)
    window_splits = splits[windows["flight"]]
    counts = {
        "rows": {"read": reports.rows, "kept": len(reports.table), "dropped": reports.dropped},
        "points": {"kept": len(tracks.points), "dropped": missing},
        "flights": _by_split(splits),
        "windows": {**_by_split(window_splits), "dropped": dropped},
        "scenes": _by_split(arrays["scene_split"].values),
    }
    description = (
        "Aircraft tracks on a common clock, as kilometres east, north and up (barometric altitude) "
        f"of {settings.tracks.origin_latitude_degrees:g}° N, "
        f"{settings.tracks.origin_longitude_degrees:g}° E. Aircraft, and with them all their "
        "flights, are split into train, validation and test; a scene holds aircraft of one split."
    )
    return Prepared(arrays, counts, fit_statistics(arrays), UNITS, description)


def projection(origin_longitude: float, origin_latitude: float) -> pyproj.Transformer:
    """Map longitude and latitude (degrees) to m east and north: azimuthal equidistant, WGS 84."""
    local = pyproj.CRS.from_dict(
        {"proj": "aeqd", "lon_0": origin_longitude, "lat_0": origin_latitude, "ellps": "WGS84"}
    )
    return pyproj.Transformer.from_crs("EPSG:4326", local, always_xy=True)


def make_tracks(reports: pd.DataFrame, settings: TrackSettings) -> tuple[Tracks, Mapping[str, int]]:
    """Cut reports at long silences and put each flight on the clock.

    Gives the tracks and the number of clock times without a position, by reason.
    """
    forward = projection(settings.origin_longitude_degrees, settings.origin_latitude_degrees)
    east, north = forward.transform(reports["longitude"], reports["latitude"])
    local = pd.DataFrame(
        {"east": east / 1000, "north": north / 1000, "up": reports["altitude"].values / 1000}
    )
    new_flight = (reports["aircraft"] != reports["aircraft"].shift()) | (
        reports["time"].diff() > settings.flight_gap_seconds
    )
    first = np.flatnonzero(new_flight.values)
    bounds = [*first, len(reports)]
    times = reports["time"].values
    parts, in_gaps = [], 0
    for number, (begin, end) in enumerate(pairwise(bounds)):
        points, skipped = _on_clock(times[begin:end], local.values[begin:end], settings)
        parts.append(points.assign(flight=number))
        in_gaps += skipped
    flights = reports[["aircraft", "callsign"]].iloc[first].reset_index(drop=True)
    points = pd.concat(parts, ignore_index=True)
    return Tracks(points, flights), {"in a gap between reports": in_gaps}


def _on_clock(
    times: np.ndarray, positions: np.ndarray, settings: TrackSettings
) -> tuple[pd.DataFrame, int]:
    """Interpolate one flight to the clock; clock times inside long gaps are left out."""
    clock = settings.clock_seconds
    ticks = np.arange(np.ceil(times[0] / clock), np.floor(times[-1] / clock) + 1) * clock
    after = np.searchsorted(times, ticks)
    before = np.maximum(after - (times[after] != ticks), 0)
    near = times[after] - times[before] <= settings.interpolation_gap_seconds
    ticks = ticks[near]
    columns = {
        axis: np.interp(ticks, times, positions[:, k]).astype(np.float32)
        for k, axis in enumerate(AXES)
    }
    return pd.DataFrame({"time": ticks.astype(np.int64), **columns}), int((~near).sum())


def split_aircraft(aircraft: pd.Series, settings: TrajectoriesData) -> np.ndarray:
    """Give the split (index into `SPLITS`) of each flight; an aircraft stands on one side only."""
    names = np.sort(aircraft.unique())
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(len(names), generator=generator).numpy()
    shares = np.cumsum([settings.splits.train, settings.splits.validation])
    bounds = np.round(shares * len(names)).astype(int)
    split = np.empty(len(names), dtype=np.int8)
    split[order] = np.searchsorted(bounds, np.arange(len(names)), side="right")
    return split[np.searchsorted(names, aircraft)]


def find_windows(
    tracks: Tracks, settings: WindowSettings, clock_seconds: int, splits: np.ndarray
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Find complete windows, ordered by split, time and flight.

    Gives the columns split, time (of the first step), flight and point (index of the first step),
    and the number of dropped windows by reason.
    """
    stride = settings.step_seconds // clock_seconds
    span = (settings.observed_steps + settings.predicted_steps - 1) * stride
    points = tracks.points
    time, flight = points["time"].values, points["flight"].values
    split = splits[flight]
    strides = np.where(split == 0, settings.training_stride_seconds, settings.stride_seconds)
    begins = time % strides == 0
    last = np.minimum(np.arange(len(time)) + span, len(time) - 1)
    # counted by number, as a flight may be too short to have a point
    ends_of_flight = (np.cumsum(np.bincount(flight)) - 1)[flight]
    inside = time + span * clock_seconds <= time[ends_of_flight]
    complete = inside & (time[last] - time == span * clock_seconds) & (flight[last] == flight)
    dropped = {
        "flight ends": int((begins & ~inside).sum()),
        "gap between reports": int((begins & inside & ~complete).sum()),
    }
    chosen = np.flatnonzero(begins & complete)
    jumps = _acceleration(points, chosen, settings, stride) > settings.acceleration_limit_m_s2
    dropped["acceleration impossible"] = int(jumps.sum())
    chosen = chosen[~jumps]
    windows = pd.DataFrame(
        {"split": split[chosen], "time": time[chosen], "flight": flight[chosen], "point": chosen}
    )
    return windows.sort_values(["split", "time", "flight"], ignore_index=True), dropped


def _acceleration(
    points: pd.DataFrame, first: np.ndarray, settings: WindowSettings, stride: int
) -> np.ndarray:
    """Give the largest acceleration (windows,) in m/s2, by second differences of the steps."""
    steps = np.arange(settings.observed_steps + settings.predicted_steps) * stride
    positions = points[list(AXES)].to_numpy(dtype=np.float64)[first[:, None] + steps]
    second = np.diff(positions, n=2, axis=1) * 1000 / settings.step_seconds**2
    return np.linalg.norm(second, axis=-1).max(axis=1)


def to_dataset(
    tracks: Tracks, windows: pd.DataFrame, splits: np.ndarray, settings: TrajectoriesData
) -> xr.Dataset:
    """Write tracks and windows as the flat record that `record` describes."""
    new_scene = (windows[["split", "time"]].diff().fillna(1) != 0).any(axis=1).values
    first = np.flatnonzero(new_scene)
    counts = np.bincount(tracks.points["flight"], minlength=len(tracks.flights))
    variables: dict[str, Any] = {axis: ("point", tracks.points[axis].values) for axis in AXES}
    variables |= {
        "time": ("point", tracks.points["time"].values),
        "flight_start": ("flight_bound", np.concatenate([[0], np.cumsum(counts)])),
        "flight_split": ("flight", splits),
        "aircraft": ("flight", tracks.flights["aircraft"].to_numpy(dtype=object)),
        "callsign": ("flight", tracks.flights["callsign"].to_numpy(dtype=object)),
        "window_point": ("window", windows["point"].values),
        "scene_start": ("scene_bound", np.append(first, len(windows))),
        "scene_split": ("scene", windows["split"].values[first]),
        "scene_time": ("scene", windows["time"].values[first]),
    }
    attributes = {
        "stride_points": settings.windows.step_seconds // settings.tracks.clock_seconds,
        "step_seconds": settings.windows.step_seconds,
        "observed_steps": settings.windows.observed_steps,
        "predicted_steps": settings.windows.predicted_steps,
        "origin_longitude_degrees": settings.tracks.origin_longitude_degrees,
        "origin_latitude_degrees": settings.tracks.origin_latitude_degrees,
    }
    return xr.Dataset(variables, attrs=attributes)


def _by_split(splits: np.ndarray) -> dict[str, int]:
    return {name: int((splits == number).sum()) for number, name in enumerate(SPLITS)}


def _nothing_left(
    files: Sequence[Path], rows: int, dropped: Mapping[str, int], windows: Mapping[str, int]
) -> str:
    rows_dropped = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    starts = ", ".join(f"{count} {reason}" for reason, count in windows.items())
    return (
        f"{', '.join(str(path) for path in files)}: no complete window is left. Of {rows} rows "
        f"dropped: {rows_dropped or 'none'}; of the possible windows dropped: {starts}. Use longer "
        "tracks, or fewer steps under `windows` in the dataset file."
    )
