"""Which windows are climbs, by what is observed of them, and what charting them changes."""

from typing import Any

import numpy as np
import xarray as xr

from flowsci.domains.trajectories.climb import ClimbChart, metres_of
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.readers import Tracks
from flowsci.domains.trajectories.record import METRES, Scenes
from flowsci.domains.trajectories.settings import ClimbSettings, WindowSettings
from flowsci.errors import FlowsciError


def no_climbs(
    tracks: Tracks, first: np.ndarray, offsets: np.ndarray, settings: WindowSettings
) -> dict[str, np.ndarray]:
    """Find windows (windows,) that are no climbs, by reason; each stands under its first one.

    `first` (windows,) is the first point of complete windows, `offsets` (steps,) the places of
    their steps from there on. Whether a window climbs is told by what is observed of it alone;
    whether it sinks later, by its steps.
    """
    if settings.climb is None:
        return {}
    climb, metres = settings.climb, metres_of(tracks.axes, tracks.length_unit)
    altitude = tracks.points[tracks.axes[-1]].to_numpy(dtype=np.float64) * metres
    present = settings.observed_steps - 1
    slow = np.zeros(len(first), dtype=bool)
    for seconds in (climb.over_seconds, climb.last_seconds):
        points = _points(seconds, tracks.clock_seconds, offsets[present], climb)
        now = first + offsets[present]
        slow |= altitude[now] - altitude[now - points] < climb.least_rate_m_s * seconds
    path = altitude[first[:, None] + offsets[present:]]
    sag = (np.maximum.accumulate(path, axis=1) - path).max(axis=1, initial=0.0)
    return {
        "not climbing when last seen": slow,
        f"sinks by more than {climb.sag_limit_m:g} m": ~slow & (sag > climb.sag_limit_m),
    }


def chart_changes(arrays: xr.Dataset) -> dict[str, Any]:
    """Count what charting changes of all windows; nothing where the dataset has no chart."""
    chart = ClimbChart.of(arrays.attrs)
    if chart is None:
        return {}
    scenes = Scenes(arrays, np.arange(arrays.sizes["scene"]))
    positions = scenes.positions_of(scenes.all_windows()).double()
    seen, future = positions.split([scenes.observed_steps, arrays.attrs["predicted_steps"]], dim=1)
    moved, level, fast = chart.changes(agent_frames(seen), future)
    moved = moved * METRES[arrays.attrs["length_unit"]]
    return {
        "windows": len(moved),
        "windows made to rise": int((moved > 0).sum()),
        "largest change of an altitude for that (m)": round(moved.max().item(), 2),
        "steps": level.numel(),
        "steps raised to level_rate_m_s": int(level.sum()),
        "steps lowered to most_rate_m_s": int(fast.sum()),
    }


def _points(seconds: int, clock: float, observed: int, climb: ClimbSettings) -> int:
    """Count a time in points; raise `FlowsciError` where the observed part does not hold it."""
    points = round(seconds / clock)
    if points < 1 or abs(seconds / clock - points) > 1e-6 or points > observed:
        raise FlowsciError(
            f"windows.climb: over_seconds ({climb.over_seconds}) and last_seconds "
            f"({climb.last_seconds}) must be multiples of the clock of the tracks, {clock:g} s, "
            f"and no longer than what is observed, {observed * clock:g} s."
        )
    return points
