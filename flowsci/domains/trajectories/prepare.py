"""From files to tracks on a clock, and scenes with a split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from flowsci.domains.trajectories.climb_windows import chart_changes
from flowsci.domains.trajectories.readers import Tracks, read_tracks
from flowsci.domains.trajectories.readers.tracks import WIND
from flowsci.domains.trajectories.record import SPLITS
from flowsci.domains.trajectories.settings import TrajectoriesData
from flowsci.domains.trajectories.statistics import fit_statistics
from flowsci.domains.trajectories.windows import by_split, find_windows, tell
from flowsci.errors import FlowsciError
from flowsci.settings import Section
from flowsci.store.prepared import Prepared

MOST_NAMED = 5
"""Recordings that an error tells of."""


def prepare(files: Sequence[Path], settings: TrajectoriesData) -> Prepared:
    """Make the dataset from files; raise `FlowsciError` where nothing is left of them."""
    tracks = read_tracks(files, settings.tracks)
    windows, dropped = find_windows(tracks, settings.windows, settings.splits, settings.seed)
    every = {reason: int(count) for reason, count in dropped.sum().items()}
    if windows.empty:
        raise FlowsciError(_nothing_left(files, tracks, every))
    sizes = by_split(windows["split"].to_numpy())
    for split, size in sizes.items():
        if not size:
            raise FlowsciError(_empty_split(split, tracks, dropped, settings.splits))
    arrays = to_dataset(tracks, windows, settings)
    counts = {
        **tracks.counts,
        **({"rows of recordings without a usable one": tracks.lost} if tracks.lost else {}),
        "tracks": len(tracks.tracks),
        "windows": {**sizes, "dropped": every},
        "scenes": by_split(arrays["scene_split"].values),
    }
    if changes := chart_changes(arrays):
        counts["climbs"] = changes
    units = dict.fromkeys(tracks.axes, tracks.length_unit)
    units |= {name: "m/s" for name in WIND if name in arrays}
    for name in ("tick", "scene_tick"):
        units[name] = f"{tracks.clock_seconds:g} s"
    return Prepared(arrays, counts, fit_statistics(arrays), units, _describe(tracks, settings))


def to_dataset(tracks: Tracks, windows: pd.DataFrame, settings: TrajectoriesData) -> xr.Dataset:
    """Write tracks and windows as the flat record that `record` describes."""
    scene = ["split", "recording", "tick"]
    first = np.flatnonzero((windows[scene].diff().fillna(1) != 0).any(axis=1))
    points = tracks.points
    counts = np.bincount(points["track"], minlength=len(tracks.tracks))
    variables: dict[str, Any] = {axis: ("point", points[axis].values) for axis in tracks.axes}
    variables |= {name: ("point", points[name].values) for name in WIND if name in points}
    variables |= {
        "tick": ("point", points["tick"].values),
        "track_start": ("track_bound", np.concatenate([[0], np.cumsum(counts)])),
        "track_name": ("track", tracks.tracks["name"].to_numpy(dtype=object)),
        "track_label": ("track", tracks.tracks["label"].to_numpy(dtype=object)),
        "track_recording": ("track", tracks.tracks["recording"].to_numpy(dtype=np.int32)),
        "window_point": ("window", windows["point"].values),
        "scene_start": ("scene_bound", np.append(first, len(windows))),
        "scene_split": ("scene", windows["split"].to_numpy()[first]),
        "scene_tick": ("scene", windows["tick"].to_numpy()[first]),
        "scene_recording": ("scene", windows["recording"].to_numpy(dtype=np.int32)[first]),
    }
    places, scene_place = _places(
        settings.places,
        tracks.recordings,
        variables["scene_recording"][1],
        variables["scene_split"][1] == SPLITS.index("train"),
    )
    variables["scene_place"] = ("scene", scene_place)
    attributes = {
        "places": places,
        "axes": list(tracks.axes),
        "length_unit": tracks.length_unit,
        "clock_seconds": tracks.clock_seconds,
        "stride_points": round(settings.windows.step_seconds / tracks.clock_seconds),
        "step_seconds": settings.windows.step_seconds,
        "observed_steps": settings.windows.observed_steps,
        "predicted_steps": settings.windows.predicted_steps,
        "recordings": list(tracks.recordings),
        **tracks.attributes,
    }
    if settings.windows.climb is not None:
        attributes["climb"] = settings.windows.climb.model_dump()
    return xr.Dataset(variables, attrs=attributes)


def _places(
    asked: Mapping[str, Sequence[str]],
    recordings: Sequence[str],
    scene_recording: np.ndarray,
    training: np.ndarray,
) -> tuple[list[str], np.ndarray]:
    """Give the places that training scenes show, and the place of each scene or -1."""
    if not asked:
        return [""], np.zeros(len(scene_recording), dtype=np.int32)
    place_of = {recording: name for name, members in asked.items() for recording in members}
    unknown = sorted(set(place_of) - set(recordings))
    homeless = sorted(set(recordings) - set(place_of))
    if unknown or homeless:
        raise FlowsciError(
            "places: each recording must have one place. "
            + (f"Not among the recordings: {', '.join(unknown)}. " if unknown else "")
            + (f"Without a place: {', '.join(homeless)}. " if homeless else "")
            + f"The recordings are {', '.join(recordings)}."
        )
    names = np.array([place_of[recording] for recording in recordings])[scene_recording]
    shown = sorted(set(names[training]))
    number = {name: index for index, name in enumerate(shown)}
    return shown, np.array([number.get(name, -1) for name in names], dtype=np.int32)


def _describe(tracks: Tracks, settings: TrajectoriesData) -> str:
    window = settings.windows
    attributes = tracks.attributes
    place = ""
    if "origin_latitude_degrees" in attributes:
        place = (
            f", which are kilometres east, north and up (barometric altitude) of "
            f"{attributes['origin_latitude_degrees']:g}° N, "
            f"{attributes['origin_longitude_degrees']:g}° E"
        )
    return (
        f"Tracks on a clock of {tracks.clock_seconds:g} s as {', '.join(tracks.axes)} in "
        f"{tracks.length_unit}{place}. A scene holds the agents of one recording and split that "
        f"are there over {window.observed_steps} observed and {window.predicted_steps} predicted "
        f"steps of {window.step_seconds:g} s. {settings.splits.describe()}"
    )


def _nothing_left(files: Sequence[Path], tracks: Tracks, dropped: Mapping[str, int]) -> str:
    longest = int(np.bincount(tracks.points["track"]).max(initial=0))
    return (
        f"{', '.join(str(path) for path in files)}: no complete window is left of "
        f"{len(tracks.tracks)} tracks, the longest of {longest} points. Of the possible windows "
        f"dropped: {tell(dropped) or 'none'}. Use longer tracks, or fewer steps under `windows` in "
        "the dataset file."
    )


def _empty_split(split: str, tracks: Tracks, dropped: pd.DataFrame, splits: Section) -> str:
    """Say what was dropped of the recordings that a split could have scenes of."""
    named = getattr(splits, split, None)
    recordings = named if isinstance(named, list) else list(tracks.recordings)
    said = []
    for name in recordings[:MOST_NAMED]:
        lost = tracks.lost.get(name)
        said.append(
            f"{name}: {tell(dropped.loc[name].to_dict()) or 'nothing'} dropped"
            if lost is None
            else f"{name}: no usable row, {tell(lost)}"
        )
    more = len(recordings) - len(said)
    return (
        f"The dataset has no scene in the split '{split}'. Of the possible windows of "
        f"{'; of '.join(said)}{f'; and so on, of {more} more recordings' if more else ''}. Use "
        "longer tracks or more of them, or change `windows` or `splits` in the dataset file."
    )
